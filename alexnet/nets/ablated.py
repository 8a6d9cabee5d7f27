"""The paper's net with one part taken away: what `alexnet ablate` measures it against.

Source: Krizhevsky 2012, sections 3.1 to 3.5 and 4.2. Each is the preset `alexnet` but for one
thing, so that a difference between two of them has one cause.
"""

from dataclasses import replace

from alexnet.nets.variants import ALEXNET

_MEASURED = replace(ALEXNET, published=None, notes=())

NO_NORM = replace(
    _MEASURED,
    source="the paper's net without response normalisation (section 3.3)",
    after_conv1=("activation", "pool"),
    after_conv2=("activation", "pool"),
)

TWO_BY_TWO_POOLS = replace(
    _MEASURED,
    source="the paper's net with pools that do not overlap, s = z = 2 (section 3.4)",
    pool_size=2,
    notes=("At 227 pixels, and wherever no pool leaves a rest, all maps keep their size.",),
)

HALF = replace(
    _MEASURED,
    source="the paper's net for one GPU: half the kernels in conv1 to conv4 (section 3.2)",
    kernels=(48, 128, 192, 192, 256),
    columns=1,
    notes=(
        (
            "As the paper's note has it, conv5 and the fully connected layers keep their width. "
            "alexnet-2012-half is the same of the net as it ran."
        ),
    ),
)

APART = replace(
    _MEASURED,
    source="the paper's net with columns that never talk below fc6 (section 3.2)",
    crosses=False,
    notes=("The columnar net of Ciresan et al., which section 3.2 compares itself with.",),
)

TANH = replace(
    _MEASURED,
    source="the paper's net with tanh for ReLU (section 3.1)",
    activation="tanh",
    initial_biases=(0,) * 8,
    notes=("Biases begin at 0: the 1 is there to give ReLUs positive inputs (section 5).",),
)

NO_DROPOUT = replace(
    _MEASURED,
    source="the paper's net without dropout (section 4.2)",
    dropout_rate=0.0,
)
