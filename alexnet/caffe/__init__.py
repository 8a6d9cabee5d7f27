"""What Caffe's programs and its Python module do, on nets from text.

    import alexnet.caffe as caffe

stands where a script says `import caffe`: Net, TRAIN, TEST, Classifier, io.Transformer,
io.load_image and the like. They are loaded when the first of them is asked for, so that the
commands' help needs no torch.
"""

from typing import TYPE_CHECKING

from alexnet.nearest import nearest

if TYPE_CHECKING:
    from alexnet.caffe.face import (
        TEST,
        TRAIN,
        Classifier,
        Net,
        Transformer,
        io,
        layer_type_list,
        set_device,
        set_mode_cpu,
        set_mode_gpu,
        set_random_seed,
    )

__all__ = [
    "TEST",
    "TRAIN",
    "Classifier",
    "Net",
    "Transformer",
    "io",
    "layer_type_list",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
]


def __getattr__(name: str) -> object:
    """Return a name of pycaffe's.

    Raises: AttributeError for any other; the nearest is named.
    """
    if name not in __all__:
        raise AttributeError(f"alexnet.caffe has no {name!r}{nearest(name, __all__)}")
    from alexnet.caffe import face

    return vars(face)[name]
