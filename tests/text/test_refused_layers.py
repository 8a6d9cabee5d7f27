"""Layers of the first tier that cannot be built are refused under their name, with a way out."""

import pytest

from alexnet.text.kind import Shape
from alexnet.text.kinds import KINDS
from tests.text.single_layer import refused

MAPS = ((2, 4, 7, 9),)


def _convolution(text: str) -> str:
    return f'type: "Convolution" convolution_param {{ {text} }}'


def _pooling(text: str) -> str:
    return f'type: "Pooling" pooling_param {{ {text} }}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("kernel_size: 3", "num_output is missing or 0; give the number of channels to make"),
        ("num_output: 0 kernel_size: 3", "num_output is missing or 0"),
        ("num_output: 4", "kernel_size is 0, 0; give a number from 1 up for each of 2 axes"),
        ("num_output: 4 kernel_h: 3", "kernel_size is 3, 0; give a number from 1 up"),
        ("num_output: 4 kernel_size: 3 stride: 0", "stride is 0, 0; give a number from 1 up"),
        ("num_output: 4 kernel_size: 3 stride_w: 2", "stride is 0, 2; give a number from 1 up"),
        ("num_output: 4 kernel_size: 3 dilation: 0", "dilation is 0, 0; give a number from 1 up"),
        ("num_output: 4 kernel_size: 3 group: 3", "channels 4 is not divisible by group 3"),
        ("num_output: 6 kernel_size: 3 group: 4", "num_output 6 is not divisible by group 4"),
        ("num_output: 4 kernel_size: 3 group: 0", "channels 4 is not divisible by group 0"),
        (
            "num_output: 4 kernel_size: 3 kernel_h: 3 kernel_w: 3",
            "kernel_size and kernel_h or kernel_w are both given; use one form",
        ),
        (
            "num_output: 4 kernel_size: 3 kernel_size: 3 kernel_size: 3",
            "kernel_size has 3 numbers; give one or two",
        ),
        (
            "num_output: 4 kernel_size: 3 axis: 2 pad: 0 pad: 1",
            "pad has 2 numbers; give one, or one for each of 1 axes",
        ),
        (
            "num_output: 4 kernel_size: 3 axis: 2 pad_h: 1",
            "pad_h is for two axes, and there are 1 after the channels; use pad",
        ),
        ("num_output: 4 kernel_size: 3 axis: 4", "axis 4 is not in a blob of 4 axes"),
        (
            "num_output: 4 kernel_size: 8",
            "a kernel that spans 8 does not fit axis 2, which has 7 and a pad of 0",
        ),
        (
            "num_output: 4 kernel_size: 3 dilation: 5 pad: 1",
            "a kernel that spans 11 does not fit axis 2, which has 7 and a pad of 1",
        ),
    ],
)
def test_a_convolution_that_cannot_be_is_refused(text: str, why: str) -> None:
    refused(KINDS, _convolution(text), MAPS, why=why)


def test_a_convolution_of_bottoms_that_differ_is_refused() -> None:
    text = _convolution("num_output: 4 kernel_size: 3")
    why = "2 bottoms of shapes (2, 4, 7, 9), (2, 4, 7, 8) and 2 tops; several bottoms need one"
    refused(KINDS, text, [(2, 4, 7, 9), (2, 4, 7, 8)], tops=2, why=why)
    refused(KINDS, text, MAPS, tops=2, why="and 2 tops; several bottoms need one shape")


@pytest.mark.parametrize(
    ("text", "tops", "why"),
    [
        ("", 1, "kernel_size is missing or 0; give it, or global_pooling: true"),
        ("kernel_size: 0", 1, "kernel_size is missing or 0"),
        ("kernel_h: 2", 1, "kernel_h is given without kernel_w; give both"),
        ("kernel_size: 2 stride_w: 2", 1, "stride_w is given without stride_h; give both"),
        ("kernel_size: 2 pad_h: 1", 1, "pad_h is given without pad_w; give both"),
        (
            "kernel_size: 2 kernel_h: 2 kernel_w: 2",
            1,
            "kernel_size and kernel_h or kernel_w are both given; use one form",
        ),
        ("kernel_size: 2 stride: 0", 1, "stride is 0; give a number from 1 up"),
        ("kernel_size: 2 pad: 2", 1, "pad 2 is not below the kernel of 2; use a smaller pad"),
        ("kernel_size: 99", 1, "a kernel of 99 does not fit a height of 7 with pad 0; use a sm"),
        ("kernel_size: 2 pool: AVE", 2, "has 2 tops with pool AVE; only MAX has a mask as second"),
        (
            "kernel_size: 2 pad: 1 pool: STOCHASTIC",
            1,
            "pad is for pool MAX and AVE only; leave it out for STOCHASTIC",
        ),
        (
            "global_pooling: true kernel_h: 2 kernel_w: 2",
            1,
            "has kernel_h with global_pooling: true; leave one of them out",
        ),
        (
            "global_pooling: true stride: 2",
            1,
            "stride is 2 with global_pooling: true; leave it out",
        ),
        (
            "global_pooling: true pad_h: 1 pad_w: 1",
            1,
            "pad_h is 1 with global_pooling: true; leave it out",
        ),
    ],
)
def test_a_pooling_that_cannot_be_is_refused(text: str, tops: int, why: str) -> None:
    refused(KINDS, _pooling(text), MAPS, tops=tops, why=why)


@pytest.mark.parametrize(
    ("text", "shapes", "why"),
    [
        (_pooling("kernel_size: 2"), ((2, 4),), "Pooling takes (N, C, H, W) and has a blob (2, 4)"),
        (
            'type: "InnerProduct"',
            MAPS,
            "num_output is missing or 0; give the number of outputs",
        ),
        (
            'type: "InnerProduct" inner_product_param { num_output: 2 axis: -5 }',
            MAPS,
            "axis -5 is not in a blob of 4 axes",
        ),
        (
            'type: "InnerProduct" inner_product_param { num_output: 2 }',
            ((2, 0, 3),),
            "its bottom (2, 0, 3) has no elements from axis 1 on",
        ),
        ('type: "LRN"', ((2, 4, 3),), "LRN takes (N, C, H, W) and has a blob (2, 4, 3)"),
        (
            'type: "LRN" lrn_param { local_size: 4 }',
            MAPS,
            "local_size 4 is even; use 3 or 5",
        ),
        (
            'type: "LRN" lrn_param { local_size: 0 norm_region: WITHIN_CHANNEL }',
            MAPS,
            "local_size 0 is even; use 1 or 1",
        ),
        ('type: "LRN" lrn_param { alpha: inf }', MAPS, "alpha inf is not finite; give a number"),
        ('type: "BatchNorm"', ((4,),), "BatchNorm takes (N, C, ...) and has a blob (4,)"),
        (
            'type: "BatchNorm" param { lr_mult: 0 } param { lr_mult: 0.5 }',
            MAPS,
            "lr_mult is 0.5, but statistics are not learned; give `param { lr_mult: 0 }` for each",
        ),
        (
            'type: "Scale" scale_param { num_axes: -2 }',
            MAPS,
            "num_axes is -2; give 0 or more, or -1 for all that follow",
        ),
        (
            'type: "Scale" scale_param { axis: 2 num_axes: 3 }',
            MAPS,
            "num_axes 3 from axis 2 on goes beyond a blob of 4 axes; use 2 or less, or -1",
        ),
        (
            'type: "Scale"',
            ((2, 4, 7), (7,)),
            "the second bottom (7,) does not lie in the first one (2, 4, 7) from axis 1 on",
        ),
        (
            'type: "Bias" bias_param { axis: 2 }',
            ((2, 4, 7), (7, 3)),
            "the second bottom (7, 3) does not lie in the first one (2, 4, 7) from axis 2 on",
        ),
    ],
)
def test_a_layer_with_weights_that_cannot_be_is_refused(
    text: str, shapes: tuple[Shape, ...], why: str
) -> None:
    refused(KINDS, text, shapes, why=why)


@pytest.mark.parametrize(
    ("text", "shape", "why"),
    [
        ('type: "PReLU"', (4,), "PReLU takes (N, C, ...) and has a blob (4,)"),
        ('type: "Exp" exp_param { base: 0 }', (4,), "base is 0; give a positive number, or -1"),
        ('type: "Exp" exp_param { base: inf }', (4,), "base is inf; give a positive number"),
        (
            'type: "Exp" exp_param { base: 10 shift: 999 }',
            (4,),
            "shift is 999, and base ** shift is too large; use a smaller shift",
        ),
        ('type: "Log" log_param { base: -2 }', (4,), "base is -2; give a positive number, or -1"),
        ('type: "Log" log_param { base: 1 }', (4,), "base is 1, which has no logarithms"),
        ('type: "Clip"', (4,), "clip_param has no min; give min and max"),
        (
            'type: "Clip" clip_param { min: 1 max: 0 }',
            (4,),
            "min 1 is above max 0; exchange them",
        ),
        (
            'type: "Dropout" dropout_param { dropout_ratio: 1 }',
            (4,),
            "dropout_ratio is 1; give the share to drop, from 0 to below 1",
        ),
        ('type: "AbsVal" top: "x0"', (4,), "AbsVal cannot work in place on 'x0'; give its top an"),
        ('type: "Flatten" top: "x0"', (4, 2), "Flatten cannot work in place on 'x0'; give its"),
        ('type: "Reshape" top: "x0"', (4,), "Reshape cannot work in place on 'x0'; give its top"),
    ],
)
def test_a_neuron_that_cannot_be_is_refused(text: str, shape: Shape, why: str) -> None:
    refused(KINDS, text, [shape], tops=0 if "top:" in text else 1, why=why)


@pytest.mark.parametrize(
    ("text", "shapes", "why"),
    [
        (
            'type: "Softmax" softmax_param { axis: 2 }',
            ((3, 4),),
            "axis 2 is not in a blob of 2 axes",
        ),
        (
            'type: "SoftmaxWithLoss"',
            ((3, 4), (4,)),
            "scores (3, 4) and labels (4,) have another first side; both must be the batch",
        ),
        (
            'type: "SoftmaxWithLoss"',
            ((3, 4), (3, 4)),
            "there are 12 labels (3, 4) for scores (3, 4); with the classes on axis 1 there must b",
        ),
        (
            'type: "Accuracy" accuracy_param { axis: 2 }',
            ((2, 3, 4), (2,)),
            "there are 2 labels (2,) for scores (2, 3, 4); with the classes on axis 2 there must",
        ),
        (
            'type: "Accuracy" accuracy_param { top_k: 5 }',
            ((3, 4), (3,)),
            "top_k is 5 and there are 4 classes; use at most that",
        ),
        ('type: "ArgMax" argmax_param { top_k: 0 }', ((3, 4),), "top_k is 0; with 4 elements give"),
        (
            'type: "ArgMax" argmax_param { top_k: 4 axis: 0 }',
            ((3, 4),),
            "top_k is 4; with 3 elements give 1 to 3",
        ),
    ],
)
def test_a_layer_over_scores_that_cannot_be_is_refused(
    text: str, shapes: tuple[Shape, ...], why: str
) -> None:
    refused(KINDS, text, shapes, why=why)


@pytest.mark.parametrize(
    ("text", "shapes", "why"),
    [
        (
            'type: "Eltwise"',
            ((2, 3), (2, 3), (3, 2)),
            "bottoms 'x0' (2, 3) and 'x2' (3, 2) have other shapes; they must be equal",
        ),
        (
            'type: "Eltwise" eltwise_param { operation: PROD coeff: 1 coeff: 2 }',
            ((2,), (2,)),
            "coeff is for operation SUM; leave it out for PROD",
        ),
        (
            'type: "Eltwise" eltwise_param { coeff: 1 }',
            ((2,), (2,)),
            "coeff stands 1 times for 2 bottoms; give one for each",
        ),
        (
            'type: "Concat"',
            ((2, 3, 4), (2, 5, 3)),
            "bottoms 'x0' (2, 3, 4) and 'x1' (2, 5, 3) may differ along axis 1 only",
        ),
        ('type: "Concat"', ((2, 3), (2, 3, 1)), "'x1' (2, 3, 1) may differ along axis 1 only"),
        (
            'type: "Concat" concat_param { axis: 1 concat_dim: 1 }',
            ((2, 3), (2, 3)),
            "axis and concat_dim are both given; leave concat_dim out",
        ),
        (
            'type: "Concat" concat_param { concat_dim: 2 }',
            ((2, 3), (2, 3)),
            "axis 2 is not in a blob of 2 axes",
        ),
        (
            'type: "Reshape" reshape_param { shape { dim: -1 dim: -1 } }',
            ((2, 3),),
            "dim -1, -1: give numbers from 0 up, and -1 at most once",
        ),
        (
            'type: "Reshape" reshape_param { shape { dim: -2 } }',
            ((2, 3),),
            "dim -2: give numbers from 0 up",
        ),
        (
            'type: "Reshape" reshape_param { shape { dim: 4 } }',
            ((2, 3),),
            "a blob (2, 3) of 6 elements does not fit the shape (4)",
        ),
        (
            'type: "Reshape" reshape_param { shape { dim: 4 dim: -1 } }',
            ((2, 3),),
            "a blob (2, 3) of 6 elements does not fit the shape (4, -1)",
        ),
        (
            'type: "Reshape" reshape_param { shape { dim: 2 dim: 3 dim: 0 } }',
            ((2, 3),),
            "dim 0 at place 2 has no axis of the bottom (2, 3) to copy",
        ),
        (
            'type: "Reshape" reshape_param { axis: 3 }',
            ((2, 3),),
            "axis 3 is not in a blob of 2 axes, nor behind it",
        ),
        (
            'type: "Reshape" reshape_param { axis: 1 num_axes: 2 }',
            ((2, 3),),
            "num_axes 2 from axis 1 on goes beyond a blob of 2 axes",
        ),
        (
            'type: "Reshape" reshape_param { num_axes: -2 }',
            ((2, 3),),
            "num_axes is -2; give 0 or more, or -1 for all",
        ),
        (
            'type: "Flatten" flatten_param { axis: 2 end_axis: 0 }',
            ((2, 3, 4),),
            "end_axis 0 lies before axis 2; exchange them",
        ),
    ],
)
def test_blobs_that_do_not_fit_together_are_refused(
    text: str, shapes: tuple[Shape, ...], why: str
) -> None:
    refused(KINDS, text, shapes, why=why)


@pytest.mark.parametrize(
    ("text", "tops", "why"),
    [
        ("", 2, "2 tops do not divide axis 1 of 7; give slice_point, or another number of tops"),
        ("slice_point: 2", 3, "1 slice_point for 3 tops; give 2"),
        ("slice_point: 2", 1, "1 slice_point for 1 tops; give 0"),
        ("slice_point: 3 slice_point: 3", 3, "slice_point 3, 3 must rise from above 0 to below"),
        ("slice_point: 0", 2, "slice_point 0 must rise from above 0 to below the 7 of axis 1"),
        ("slice_point: 7", 2, "slice_point 7 must rise from above 0 to below the 7 of axis 1"),
        ("axis: 1 slice_dim: 1", 7, "axis and slice_dim are both given; leave slice_dim out"),
        ("axis: -3", 2, "axis -3 is not in a blob of 2 axes"),
    ],
)
def test_a_slice_that_cannot_be_is_refused(text: str, tops: int, why: str) -> None:
    refused(KINDS, f'type: "Slice" slice_param {{ {text} }}', [(2, 7)], tops=tops, why=why)
