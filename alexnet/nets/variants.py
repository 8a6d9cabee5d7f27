"""The presets: each network called AlexNet, as the difference to the paper's."""

from dataclasses import replace

from alexnet.nets.alexnet import ResponseNorm, Variant

_CAFFE_NORM = ResponseNorm(convention="caffe", bias=1.0, within_column=False)

ALEXNET = Variant(
    source="Krizhevsky, Sutskever, Hinton 2012: the text of the paper",
    published=(60_965_224, 659_272, 724_406_816),
    notes=(
        (
            "The paper gives conv1 253,440 neurons; its 55 x 55 x 96 maps have 290,400. With them "
            "the sum is 659,272, the abstract's 650,000; with 253,440 it would be 622,312."
        ),
        (
            "The often quoted 630 M connections are those of net 131 of the same program "
            "(628,615,616 multiply-adds); the published net has 724,406,816."
        ),
        "The paper's 224-pixel input gives no 55 x 55 maps without padding; 227 does.",
    ),
)

ALEXNET_2012 = replace(
    ALEXNET,
    source="layers-145.cfg of the 2012 program: the net as it ran",
    input_size=224,
    conv1_padding="end",
    after_conv1=("norm", "pool", "activation"),
    after_conv2=("activation", "norm", "spatial_norm", "pool"),
    after_conv5=("pool", "activation"),
    norm=ResponseNorm(convention="caffe"),
    pool_rounding="ceil",
    weight_std=(0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01),
    notes=(
        "The program divides alpha by the window; the paper's formula does not.",
        "The 5x5 norm over positions after norm2 (cnorm2) is not in the paper.",
        "The 224-pixel input is read as 227 with zeros past its right and bottom edge.",
    ),
)

ALEXNET_2012_HALF = replace(
    ALEXNET_2012,
    source="layers-145-half.cfg of the 2012 program: the one-GPU net of section 3.2",
    kernels=(48, 128, 192, 192, 256),
    columns=1,
    published=(59_798_312, 355_864, 391_514_384),
    notes=(
        (
            "Half the kernels in conv1 to conv4; conv5 and the fully connected layers keep their "
            "width. The paper's 1.7 % and 1.2 % for two GPUs are measured against this net."
        ),
    ),
)

ALEXNET_1COL = replace(
    ALEXNET,
    source="the paper's widths in one column without groups",
    columns=1,
    published=(62_378_344, 659_272, 1_135_256_096),
    notes=("Not the one-GPU net of section 3.2; that is alexnet-2012-half.",),
)

ALEXNET_OWT = replace(
    ALEXNET_2012,
    source="cuda-convnet2 layers-imagenet-1gpu.cfg: One weird trick, 2014",
    kernels=(64, 192, 384, 256, 256),
    columns=1,
    after_conv2=("activation", "norm", "pool"),
    initial_biases=(0, 1, 0, 1, 1, 1, 1, -7),
    published=(61_100_840, 494_184, 714_188_480),
    notes=(
        "Keeps the response norms that torchvision's net of the same sizes lacks.",
        "fc8 starts at -7, about log(1/1000).",
    ),
)

TORCHVISION = Variant(
    source="torchvision.models.alexnet: the sizes of One weird trick, no norms",
    kernels=(64, 192, 384, 256, 256),
    columns=1,
    input_size=224,
    conv1_padding=(2, 2),
    after_conv1=("activation", "pool"),
    after_conv2=("activation", "pool"),
    average_pool=6,
    dropout_place="before",
    dropout_scaled="training",
    initialisation="torch",
    published=(61_100_840, 494_184, 714_188_480),
    notes=("Dropout stands before fc6 and fc7; there is no response norm.",),
)

BVLC_ALEXNET = replace(
    ALEXNET,
    source="BVLC Caffe models/bvlc_alexnet",
    norm=_CAFFE_NORM,
    pool_rounding="ceil",
    dropout_scaled="training",
    weight_std=(0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01),
    initial_biases=(0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0),
    notes=("Norms run across both groups; k is 1 and alpha is divided by the window.",),
)

CAFFENET = replace(
    BVLC_ALEXNET,
    source="BVLC Caffe models/bvlc_reference_caffenet",
    after_conv1=("activation", "pool", "norm"),
    after_conv2=("activation", "pool", "norm"),
    initial_biases=(0, 1, 0, 1, 1, 1, 1, 0),
    notes=("Pools before it normalises, which is cheaper.", *BVLC_ALEXNET.notes),
)

KERAS = replace(
    ALEXNET_1COL,
    source="the Keras rebuilds: no groups, ZeroPadding2D(((3, 0), (3, 0))) before conv1",
    input_size=224,
    conv1_padding=(3, 0),
    after_conv1=("norm", "activation", "pool"),
    after_conv2=("norm", "activation", "pool"),
    norm=ResponseNorm(convention="tf", within_column=False),
    dropout_scaled="training",
    initialisation="glorot",
    notes=(
        (
            "Keras itself never had an AlexNet; this is what its users pass around: "
            "normalisation before ReLU, zeros above and to the left."
        ),
    ),
)
