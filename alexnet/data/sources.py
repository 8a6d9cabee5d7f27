"""The data sets that `alexnet data fetch` knows: where they are published, and their digests.

Source:  bytes and SHA-256 are those that TensorFlow Datasets lists for the same addresses; the MD5
         of the same files, where their publishers give one, is what torchvision checks.
"""

from dataclasses import dataclass

from alexnet.data.idx import NAMES
from alexnet.nearest import nearest


@dataclass(frozen=True)
class Source:
    """A published file."""

    name: str
    """Its name, which a mirror keeps."""
    address: str
    """The folder that it is published in."""
    num_bytes: int | None = None
    """Its length; None when it is not known for certain."""
    sha256: str | None = None
    """Its digest; None when it is not known for certain."""


@dataclass(frozen=True)
class DataSet:
    """A published data set."""

    title: str
    """What it holds, in words."""
    terms: str
    """What its publishers ask for."""
    files: tuple[Source, ...]
    """Its files."""
    packed: bool = True
    """Whether the files are archives, to be unpacked."""
    classes: tuple[str, ...] = ()
    """Class names to be written beside files that have none."""


IMAGENET_TERMS = "ImageNet's: for research that is not commercial"
FAST_AI = "https://s3.amazonaws.com/fast-ai-imageclas"
TORONTO = "https://www.cs.toronto.edu/~kriz"
MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist"
FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
KMNIST = "http://codh.rois.ac.jp/kmnist/dataset/kmnist"

DATA_SETS = {
    "imagenette": DataSet(
        title="Imagenette, ten classes of ImageNet: 9,469 + 3,925 photos as they were",
        terms=IMAGENET_TERMS,
        files=(
            Source(
                "imagenette2.tgz",
                FAST_AI,
                1_557_161_267,
                "6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd",
            ),
        ),
    ),
    "imagenette-320": DataSet(
        title="Imagenette, shorter side 320 pixels",
        terms=IMAGENET_TERMS,
        files=(
            Source(
                "imagenette2-320.tgz",
                FAST_AI,
                341_663_724,
                "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
            ),
        ),
    ),
    "imagenette-160": DataSet(
        title="Imagenette, shorter side 160 pixels",
        terms=IMAGENET_TERMS,
        files=(
            Source(
                "imagenette2-160.tgz",
                FAST_AI,
                99_003_388,
                "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
            ),
        ),
    ),
    "imagewoof": DataSet(
        title="Imagewoof, ten breeds of dog from ImageNet: 9,025 + 3,929 photos as they were",
        terms=IMAGENET_TERMS,
        files=(Source("imagewoof2.tgz", FAST_AI),),
    ),
    "imagewoof-160": DataSet(
        title="Imagewoof, shorter side 160 pixels",
        terms=IMAGENET_TERMS,
        files=(Source("imagewoof2-160.tgz", FAST_AI),),
    ),
    "cifar10": DataSet(
        title="CIFAR-10, ten classes: 50,000 + 10,000 pictures of 32 x 32",
        terms="no licence is stated; cite Krizhevsky 2009",
        files=(
            Source(
                "cifar-10-binary.tar.gz",
                TORONTO,
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
    ),
    "cifar100": DataSet(
        title="CIFAR-100, a hundred classes: 50,000 + 10,000 pictures of 32 x 32",
        terms="no licence is stated; cite Krizhevsky 2009",
        files=(
            Source(
                "cifar-100-binary.tar.gz",
                TORONTO,
                168_513_733,
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ),
        ),
    ),
    "mnist": DataSet(
        title="MNIST, handwritten digits: 60,000 + 10,000 pictures of 28 x 28",
        terms="CC BY-SA 3.0",
        files=(
            Source(
                "train-images-idx3-ubyte.gz",
                MNIST,
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            Source(
                "train-labels-idx1-ubyte.gz",
                MNIST,
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            Source(
                "t10k-images-idx3-ubyte.gz",
                MNIST,
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            Source(
                "t10k-labels-idx1-ubyte.gz",
                MNIST,
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
        packed=False,
    ),
    "fashion-mnist": DataSet(
        title="Fashion-MNIST, ten kinds of clothes: 60,000 + 10,000 pictures of 28 x 28",
        terms="MIT licence",
        files=(
            Source(
                "train-images-idx3-ubyte.gz",
                FASHION,
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            Source(
                "train-labels-idx1-ubyte.gz",
                FASHION,
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            Source(
                "t10k-images-idx3-ubyte.gz",
                FASHION,
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            Source(
                "t10k-labels-idx1-ubyte.gz",
                FASHION,
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
        packed=False,
        classes=NAMES["fashion"],
    ),
    "kmnist": DataSet(
        title="Kuzushiji-MNIST, ten old Japanese letters: 60,000 + 10,000 pictures of 28 x 28",
        terms="CC BY-SA 4.0",
        files=(
            Source(
                "train-images-idx3-ubyte.gz",
                KMNIST,
                18_165_135,
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            ),
            Source(
                "train-labels-idx1-ubyte.gz",
                KMNIST,
                29_497,
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            ),
            Source(
                "t10k-images-idx3-ubyte.gz",
                KMNIST,
                3_041_136,
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            ),
            Source(
                "t10k-labels-idx1-ubyte.gz",
                KMNIST,
                5_120,
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
        ),
        packed=False,
        classes=NAMES["kmnist"],
    ),
}


def data_set(name: str) -> DataSet:
    """Return a data set by its name.

    Raises:  ValueError, naming the nearest, when the name is not known.
    """
    if name not in DATA_SETS:
        raise ValueError(
            f"the data set {name!r} is not known{nearest(name, DATA_SETS)}; there are "
            f"{', '.join(DATA_SETS)}"
        )
    return DATA_SETS[name]
