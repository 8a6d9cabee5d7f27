"""Cases of Caffe's data layers, and of convert_imageset, whose answers are golden files.

Paths are relative to FOLDER: the original and our tests both run there.
"""

from pathlib import Path

FOLDER = Path(__file__).parent / "caffe_data"
BATCHES = 2

_DATA = """
layer {{ name: "source" type: "Data" top: "data" top: "label"
  data_param {{ source: "{source}" backend: {backend} batch_size: {batch} }}
  transform_param {{ {transform} }} }}
"""
_PICTURES = """
layer {{ name: "source" type: "ImageData" top: "data" top: "label"
  image_data_param {{ source: "{source}" root_folder: "pictures/" batch_size: {batch} {more} }}
  transform_param {{ {transform} }} }}
"""
_WINDOWS = """
layer {{ name: "source" type: "WindowData" top: "data" top: "label"
  window_data_param {{ source: "windows.txt" root_folder: "pictures/" batch_size: 4
    fg_threshold: 0.5 bg_threshold: 0.3 fg_fraction: 0.5 {more} }}
  transform_param {{ crop_size: 9 {transform} }} }}
"""


def _data(transform: str, *, source: str = "raw_lmdb", backend: str = "LMDB") -> str:
    return _DATA.format(source=source, backend=backend, batch=3, transform=transform)


def _pictures(more: str, transform: str, *, source: str = "equal.txt", batch: int = 4) -> str:
    return _PICTURES.format(source=source, batch=batch, more=more, transform=transform)


SOURCES = {
    "data": _data(""),
    "data_mean_file": _data('mean_file: "mean.binaryproto" crop_size: 7 scale: 0.3'),
    "data_three_means": _data("mean_value: 104 mean_value: 117.5 mean_value: 123 crop_size: 8"),
    "data_one_mean": _data("mean_value: 127.3 scale: 0.00390625"),
    "data_encoded": _data("crop_size: 9", source="encoded_lmdb"),
    "data_forced_gray": _data("force_gray: true mean_value: 10", source="encoded_lmdb"),
    "data_leveldb": _data("scale: 2", source="raw_leveldb", backend="LEVELDB"),
    "pictures": _pictures("", ""),
    "pictures_resized": _pictures(
        "new_height: 17 new_width: 11", "crop_size: 10 mean_value: 3", source="all.txt", batch=9
    ),
    "pictures_gray": _pictures(
        "new_height: 5 new_width: 6 is_color: false", "", source="all.txt", batch=9
    ),
    "pictures_one_by_one": _pictures("", "scale: 0.5", source="sizes.txt", batch=1),
    "hdf5": """
layer { name: "source" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "hdf5.txt" batch_size: 5 } }
""",
    "dummy": """
layer { name: "source" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 }
    data_filler { value: 2.5 } data_filler { type: "constant" value: -1 } } }
""",
    "windows": _WINDOWS.format(more="", transform=""),
    "windows_context": _WINDOWS.format(
        more="context_pad: 2", transform="mean_value: 100 mean_value: 110 mean_value: 120"
    ),
    "windows_square": _WINDOWS.format(
        more='crop_mode: "square" cache_images: true', transform='mean_file: "mean.binaryproto"'
    ),
}
"""Layers by case; tops are data and label, the phase is TEST."""

CONVERSIONS: dict[str, tuple[str, ...]] = {
    "raw": (),
    "gray": ("--gray",),
    "resized": ("--resize_width=7", "--resize_height=9"),
    "resized_gray": ("--gray", "--resize_width=20", "--resize_height=5"),
    "encoded": ("--encoded",),
    "encoded_gray": ("--encoded", "--gray"),
    "jpeg": ("--encode_type=jpg",),
}
"""Flags of convert_imageset by case; the list is all.txt."""
