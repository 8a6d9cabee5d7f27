"""`alexnet features` and `alexnet similar`: what a net makes of pictures, and which are alike."""

import tempfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

from alexnet.cli.options import Json, Machine, Views, open_by
from alexnet.cli.tables import note, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import Tensor

    from alexnet.data.pictures import Pictures
    from alexnet.inspection.features import Rows, Table
    from alexnet.inspection.layer_names import Spot
    from alexnet.inspection.similar import Nearest, Neighbour
    from alexnet.model import Model


@Parameter(name="*")
@dataclass(frozen=True)
class Target:
    """Where features go."""

    out: Path = Path("features.safetensors")
    """File to write; the suffix says how: .safetensors, .npy, .csv or .mat. One that is there is
    replaced."""
    dtype: Literal["float32", "float16"] = "float32"
    """Type of the numbers in the file."""


@Parameter(name="*")
@dataclass(frozen=True)
class Search:
    """How pictures are compared."""

    layer: str = ""
    """Layer to compare by; the last hidden one if not given, which is fc7 of AlexNet."""
    metric: Literal["euclidean", "cosine"] = "euclidean"
    """Distance; euclidean is the paper's."""
    top: int = 6
    """Number of pictures to find; the paper's figure 4 has six."""
    features: Path | None = None
    """File of features of the pictures, made before by alexnet features --out FILE.safetensors."""


@Parameter(name="*")
@dataclass(frozen=True)
class Sheet:
    """How what was found is shown."""

    out: Path | None = None
    """File to draw the pictures into, .png, .jpg or .webp."""
    as_json: Json = False


@dataclass(frozen=True)
class _Opened:
    """A model and how it runs."""

    model: "Model"
    device: "torch.device"
    dtype: "torch.dtype"
    digest: str


def features(
    run: Path,
    *data: str,
    layers: str = "",
    views: Views = 1,
    target: Target = Target(),
    machine: Machine = Machine(),  # noqa: B008
) -> int:
    """Write what layers of a trained net make of pictures, a row of numbers for each picture.

    fc7 and conv5 mean the layer after its ReLU where that directly follows, as Caffe's blobs do;
    fc7:before means before it; a name of torchvision's, as classifier.4, the module's own output.
    What each name meant is printed. Maps are flattened in the order C, H, W.

    Parameters
    ----------
    run
        Folder of a run or of a model.
    data
        Folder of pictures with a sub-folder for each class, any other form that can be trained on,
        or pictures and folders of pictures without classes.
    layers
        Names of layers with commas, of the paper, Caffe's or torchvision's; the last hidden layer
        if not given. With ten views, rows are means of ten.
    """
    from alexnet.inspection import feature_files
    from alexnet.inspection.features import describe, open_loader, rows_of, shapes_of
    from alexnet.inspection.layer_names import last_hidden, resolve

    if not data:
        raise ValueError("no pictures given; name a data set, or pictures and folders of them")
    feature_files.check_target(target.out, [], dtype=target.dtype, bytes_each=0)
    opened = _open(run, machine)
    model = opened.model
    names = [name.strip() for name in layers.split(",") if name.strip()] or [last_hidden(model.net)]
    spots = [resolve(model.net, name) for name in dict.fromkeys(names)]
    pictures = _pictures(data)
    shapes = shapes_of(model, spots)
    largest = max(map(prod, shapes.values()))
    feature_files.check_target(
        target.out,
        [spot.asked for spot in spots],
        dtype=target.dtype,
        bytes_each=4 * largest * len(pictures),
    )
    feature_files.check_names_fit(target.out, pictures.paths)
    for spot in spots:
        sides = " x ".join(map(str, shapes[spot.asked]))
        print(f"{spot}: {sides} numbers of each picture")
    origin: dict[str, Any] = {"net": model.name, "run": str(run), "digest": opened.digest}
    origin |= {"views": views, "data": list(data)}
    about = describe(spots, shapes, origin=origin)
    loader = open_loader(model, pictures)
    chunks = rows_of(model, loader, spots, views=views, dtype=opened.dtype)
    count, files = _write(chunks, pictures, target, about)
    _name_skipped(loader.bad)
    noun = ("picture" if count == 1 else "pictures") + ", means of 10 views" * (views == 10)
    print(f"{count:,} {noun} -> {', '.join(map(str, files))}")
    return 0


def _write(
    chunks: "Iterator[Rows]", pictures: "Pictures", target: Target, about: dict[str, Any]
) -> tuple[int, list[Path]]:
    """Write features as they come, and return the number of pictures and the files."""
    import numpy as np

    from alexnet.inspection.feature_files import write_features
    from alexnet.inspection.features import collect

    kept = np.float16 if target.dtype == "float16" else np.float32
    with tempfile.TemporaryDirectory(prefix=".features-", dir=target.out.parent) as folder:
        table = collect(chunks, pictures, Path(folder), kept=kept, about=about)
        return len(table.paths), write_features(target.out, table)


def similar(
    run: Path,
    image: Path,
    data: Path | None = None,
    *,
    search: Search = Search(),
    sheet: Sheet = Sheet(),
    machine: Machine = Machine(),  # noqa: B008
) -> int:
    """Find the pictures that a trained net finds most like a given one, by its last hidden layer.

    Each picture of DATA is compared, and the net answers for each: --features, made once, saves
    that. Then a question reads the whole file (of fc7 16 KiB a picture, 21 GB for 1.28 million) and
    memory holds 64 MiB pieces of it, whatever the set.

    Parameters
    ----------
    run
        Folder of a run or of a model.
    image
        Picture to find others like. If it is a file in DATA, it is left out there; a copy of it, as
        in packed shards, comes first at a distance near 0.
    data
        Pictures to search: any form that can be trained on, or a folder without classes. With
        --features they are needed for --out alone.
    """
    from alexnet.inspection.similar import check_sheet

    if search.top < 1:
        raise ValueError(f"top is {search.top}; it must be at least 1")
    if data is None and (search.features is None or sheet.out is not None):
        raise ValueError("no DATA given; name the pictures to search and to draw")
    if sheet.out is not None:
        check_sheet(sheet.out)
    opened = _open(run, machine)
    pictures = None if data is None else _pictures((str(data),))
    if search.features is not None:
        found = _search_file(opened, image, search)
    else:
        assert pictures is not None
        found = _search_pictures(opened, image, pictures, search)
    neighbours = [each for each in found.nearest if each.index != found.itself][: search.top]
    if sheet.out is not None and pictures is not None:
        _draw(sheet.out, image, pictures, found, neighbours)
    _print_found(image, found, neighbours, search, sheet)
    return 0


@dataclass(frozen=True)
class _Found:
    """What a search found, one more than was asked for."""

    spot: "Spot"
    nearest: list["Neighbour"]
    itself: int
    """Position of the picture asked about, -1 if it is not there."""
    paths: tuple[str, ...]
    classes: tuple[str, ...]
    """A class for each picture, "" for none."""
    seen: int


def _search_pictures(opened: _Opened, image: Path, pictures: "Pictures", search: Search) -> _Found:
    """Compare pictures as they are read; no features are kept."""
    import torch

    from alexnet.inspection.features import open_loader, rows_of
    from alexnet.inspection.layer_names import last_hidden, resolve

    model = opened.model
    spot = resolve(model.net, search.layer or last_hidden(model.net))
    nearest = _nearest(opened, image, spot, search, views=1)
    loader = open_loader(model, pictures)
    seen = 0
    for rows in rows_of(model, loader, [spot], dtype=opened.dtype):
        nearest.add(rows.values[spot.asked], torch.tensor(rows.indices))
        seen += len(rows.indices)
    _name_skipped(loader.bad)
    classes = tuple(pictures.classes[k] if k >= 0 else "" for k in pictures.labels)
    root = _root(pictures)
    itself = -1 if root is None else _position(image, root, pictures.paths)
    return _Found(spot, nearest.found(), itself, pictures.paths, classes, seen)


def _search_file(opened: _Opened, image: Path, search: Search) -> _Found:
    """Compare with features that were made before."""
    from alexnet.data.folder import DataError
    from alexnet.inspection.feature_files import read_features
    from alexnet.inspection.layer_names import last_hidden, resolve
    from alexnet.inspection.similar import pieces
    from alexnet.nearest import nearest as named_nearest

    assert search.features is not None
    table = read_features(search.features)
    if table.about["digest"] != opened.digest:
        raise DataError(
            f"{search.features} has features of another model ({table.about['run']}); "
            f"make it again with this one"
        )
    net = opened.model.net
    by_layer = {record["layer"]: name for name, record in table.about["layers"].items()}
    spot = resolve(net, search.layer or last_hidden(net))
    if spot.layer not in by_layer:
        kept = ", ".join(table.layers)
        raise ValueError(
            f"{search.features} has no features of {spot.asked!r}"
            f"{named_nearest(spot.asked, table.layers)}; it has {kept}; choose with --layer"
        )
    nearest = _nearest(opened, image, spot, search, views=table.about["views"])
    for rows, indices in pieces(table.layers[by_layer[spot.layer]]):
        nearest.add(rows, indices)
    classes = tuple(table.class_of(row) for row in range(len(table.paths)))
    itself = _position_in(table, image)
    return _Found(spot, nearest.found(), itself, table.paths, classes, len(table.paths))


def _nearest(
    opened: _Opened, image: Path, spot: "Spot", search: Search, *, views: int
) -> "Nearest":
    """Start a search with the features of a picture."""
    from alexnet.inspection.features import features_of
    from alexnet.inspection.similar import Nearest

    picture = _prepared(opened, image)
    query = features_of(opened.model, picture, [spot], views=views, dtype=opened.dtype)
    return Nearest(query[spot.asked][0], top=search.top + 1, metric=search.metric)


def _prepared(opened: _Opened, image: Path) -> "Tensor":
    import torch

    from alexnet.data.folder import DataError
    from alexnet.data.image import ImageError, decode_file, fit_square
    from alexnet.nearest import nearest_beside

    if not image.exists():
        raise DataError(f"{image} does not exist{nearest_beside(image)}")
    size = opened.model.preprocessing.picture_size
    try:
        pixels = fit_square(decode_file(image, at_least=size), size)
    except ImageError as error:
        raise DataError(f"{image}: {error}") from error
    return torch.from_numpy(pixels)[None].to(opened.device)


def _position_in(table: "Table", image: Path) -> int:
    """Return where a picture stands in a file of features, -1 if it does not."""
    folders = table.about["data"]
    roots = [Path(folders[0]), Path()] if len(folders) == 1 else [Path()]
    return max(_position(image, root, table.paths) for root in roots)


def _position(image: Path, root: Path, paths: tuple[str, ...]) -> int:
    """Return the position of the picture that is the same file, -1 if there is none."""
    wanted = image.resolve()
    same = (i for i, p in enumerate(paths) if p.endswith(image.name))
    return next((i for i in same if (root / paths[i]).resolve() == wanted), -1)


def _root(pictures: "Pictures") -> Path | None:
    """Return the folder that the paths of pictures are relative to, if they are files."""
    from alexnet.data.folder import Listing
    from alexnet.inspection.features import LoosePictures

    if isinstance(pictures, Listing):
        return pictures.root
    return Path() if isinstance(pictures, LoosePictures) else None


def _draw(
    path: Path, image: Path, pictures: "Pictures", found: _Found, neighbours: list["Neighbour"]
) -> None:
    from alexnet.data.folder import DataError
    from alexnet.data.image import decode_file
    from alexnet.inspection.similar import CELL, Shown, write_sheet

    positions = {name: index for index, name in enumerate(pictures.paths)}
    shown = [Shown(decode_file(image), (image.name,))]
    for each in neighbours:
        name = found.paths[each.index]
        if name not in positions:
            raise DataError(f"the data have no picture {name}, which the features are of")
        pixels = pictures.pixels(positions[name], at_least=CELL)
        lines = (found.classes[each.index], f"{each.distance:.4g}", name)
        shown.append(Shown(pixels, tuple(line for line in lines if line)))
    write_sheet(path, shown)


def _print_found(
    image: Path, found: _Found, neighbours: list["Neighbour"], search: Search, sheet: Sheet
) -> None:
    rows = [
        (each.distance, found.classes[each.index], found.paths[each.index]) for each in neighbours
    ]
    if sheet.as_json:
        answers = [
            {"rank": rank, "distance": distance, "class": name, "picture": path}
            for rank, (distance, name, path) in enumerate(rows, start=1)
        ]
        about: dict[str, Any] = {"picture": str(image), "layer": found.spot.layer}
        about |= {"asked": found.spot.asked, "says": found.spot.says, "metric": search.metric}
        print_json({**about, "searched": found.seen, "nearest": answers})
        return
    print(f"{found.spot}; {search.metric} distance to each of {found.seen:,} pictures\n")
    table = [(i, f"{d:.4g}", name, path) for i, (d, name, path) in enumerate(rows, start=1)]
    print_table(("rank", "distance", "class", "picture"), table, left=4)
    if sheet.out is not None:
        print(f"\ndrawn in {sheet.out}")


def _open(run: Path, machine: Machine) -> _Opened:
    from alexnet.device import choose_device, choose_dtype
    from alexnet.model import model_folder
    from alexnet.store import read_manifest

    if machine.weights != "same":
        raise ValueError(f"--weights {machine.weights} is for answers; features take the net's own")
    device = choose_device(machine.device)
    model = open_by(run, device, machine.convolution)
    digest = read_manifest(model_folder(run))["digest"]
    return _Opened(model, device, choose_dtype(machine.precision, device), digest)


def _pictures(data: tuple[str, ...]) -> "Pictures":
    """Open one data set of any form, or else pictures without classes."""
    from alexnet.data.door import open_all
    from alexnet.data.folder import SUFFIXES
    from alexnet.inspection.features import LoosePictures
    from alexnet.predict import list_pictures

    path = Path(data[0])
    if len(data) == 1 and path.suffix.lower() not in SUFFIXES and not _is_flat(path):
        return open_all(path)
    return LoosePictures(tuple(list_pictures(data)))


def _is_flat(path: Path) -> bool:
    """Return whether a folder has pictures and no folders."""
    from alexnet.data.folder import SUFFIXES

    if not path.is_dir():
        return False
    inside = [each for each in path.iterdir() if not each.name.startswith(".")]
    pictures = any(each.suffix.lower() in SUFFIXES for each in inside)
    return pictures and not any(each.is_dir() for each in inside)


def _name_skipped(bad: dict[str, str]) -> None:
    for path, reason in bad.items():
        note(f"skipped {path}: {reason}")
