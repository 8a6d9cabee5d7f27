"""The recipes that have a name. Each docstring gives command, hours and expected error."""

from pathlib import Path

from alexnet.nearest import nearest
from alexnet.training.recipe import Recipe, load

PAPER = Recipe()
"""The text of the paper (section 5): batch 128, rate .01 divided by ten when the validation error
stops improving, momentum .9, decay .0005, all layers alike, 90 epochs.

`alexnet train ILSVRC2012 --recipe paper`; the paper: 5 to 6 days on two GTX 580, 40.7 % / 18.2 %.
"""

QUICK = Recipe(
    init="normalised",
    epochs=24,
    batch=64,
    lr=0.004,
    schedule="cosine",
    warmup_epochs=1.0,
    bias_lr=2.0,
    bias_decay=0.0,
    crop="random-resized",
    subtract="mean-value",
    divide_by=64.0,
    keep_model="last",
    stuck_after=500,
)
"""A few thousand photos on a laptop: weights that start to learn at once, windows of random area,
the rate along a cosine, biases as in 2012.

`alexnet train imagenette --recipe quick --epochs 40 --minutes 55 --label-smoothing 0.1
--picture-size 192 --input-size 163`: 26.3 % error after an hour on 2 slow cores, 17.8 epochs
(docs/RESULTS.md).
"""

DIGITS = Recipe(
    init="normalised",
    epochs=4,
    minutes=3.3,
    batch=16,
    lr=0.001,
    schedule="cosine",
    bias_lr=2.0,
    bias_decay=0.0,
    flip=False,
    lighting=0.0,
    divide_by=64.0,
    keep_model="last",
    validate_every=4,
    stuck_after=150,
)
"""`alexnet demo`: 4,000 MNIST digits, as many epochs as 3.3 minutes hold, four at the most; 5 %
error after 1.2 epochs on 2 slow cores. With the paper's initial weights the first hundred updates
and more would be spent at ln(10).
"""

LENET = Recipe(
    net="lenet-5",
    epochs=20,
    batch=8,
    lr=0.005,
    schedule="dexp",
    lr_factor=50.0,
    lr_steps=5,
    momentum=0.0,
    weight_decay=0.0,
    flip=False,
    lighting=0.0,
    subtract="mean-value",
    divide_by=200.0,
    picture_size=32,
    keep_model="last",
    stuck_after=0,
)
"""LeNet-5 on digits, white on black, as LeCun et al. 1998 trained it (section III): 20 passes in
five stages of the rate, no momentum, no decay, inputs of about -.1 to 1.175 with mean 0.

The paper updates after each picture and divides each weight's rate by its second derivative (its
rates are .0005 twice, .0002 and .0001 three times, .00005 four times, .00001). Here the rate is one
for all weights, fitted to the means of 8 pictures; it falls as far, by 50, in five equal stages.
Digits fill the 32 pixels, which the paper pads from 28. For other pictures than digits, and for
`--net lenet`, a look at --flip, --lr and --divide-by is due.

`alexnet train mnist --recipe lenet`; the paper: 0.95 % of MNIST's 10,000, in 2 to 3 days of a
200 MHz processor. Hours here: not measured.
"""

VGG = Recipe(net="vgg16", epochs=74, batch=256, subtract="mean-value")
"""Simonyan and Zisserman 2014, section 3.1: batch 256, rate .01 divided by ten three times when the
validation error stops improving, momentum .9, decay .0005, 74 epochs, crops of pictures whose short
side is 256, mirrored and relit, minus the mean colour.

`alexnet train ILSVRC2012 --recipe vgg`, or with --net vgg11, vgg13, vgg19; the paper: 2 to 3 weeks
on four Titan Black, 27.0 % / 8.8 % (D, one scale). Hours here: not measured.
"""

GOOGLENET = Recipe(
    net="googlenet",
    epochs=60,
    batch=32,
    schedule="poly",
    power=0.5,
    weight_decay=0.0002,
    bias_lr=2.0,
    bias_decay=0.0,
    lighting=0.0,
    subtract="mean-value",
)
"""Caffe's quick_solver.prototxt for bvlc_googlenet: 2.4 million updates of 32 pictures, the rate
.01 * (1 - progress) ** .5, decay .0002 (none for biases, at twice the rate).

Szegedy et al. 2014 trained asynchronously on many machines with momentum .9 and a rate that fell by
4 % every 8 epochs, on windows of 8 to 100 % of a picture's area (--crop random-resized
--smallest-area 0.08).

`alexnet train ILSVRC2012 --recipe googlenet`; Caffe: 31.3 % / 11.1 %, centre crop. Hours here: not
measured.
"""

RESNET = Recipe(net="resnet50", epochs=120, batch=256, lr=0.1, weight_decay=0.0001)
"""He et al. 2015, section 3.4: batch 256, rate .1 divided by ten when the error plateaus, momentum
.9, decay .0001, no dropout, 600,000 updates (120 epochs), minus the mean image, relit.

The paper takes crops of pictures whose short side is drawn from 256 to 480; here it is 256.

`alexnet train ILSVRC2012 --recipe resnet`, or with --net resnet18 to resnet152; the paper, ten
views: 22.9 % / 6.7 % (50 layers), 27.9 % / - (18). Hours here: not measured.
"""

RECIPES = {
    "paper": PAPER,
    "quick": QUICK,
    "digits": DIGITS,
    "lenet": LENET,
    "vgg": VGG,
    "googlenet": GOOGLENET,
    "resnet": RESNET,
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of that name, or of that .toml file.

    Raises: ValueError if there is neither.
    """
    if name in RECIPES:
        return RECIPES[name]
    if name.endswith(".toml"):
        if Path(name).is_file():
            return load(Path(name))
        raise ValueError(f"recipe file {name} does not exist; give a path, or one of {_names()}")
    raise ValueError(
        f"no recipe is called {name!r}{nearest(name, RECIPES)}; "
        f"the recipes are {_names()}, or a .toml file"
    )


def _names() -> str:
    return ", ".join(RECIPES)
