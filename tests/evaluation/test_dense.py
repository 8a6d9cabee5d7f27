"""Dense testing against the net itself on every window, cut out one by one."""

import pytest
import torch
from torch import Tensor, nn

from alexnet.evaluation.dense import DenseNet, split
from alexnet.layers.dropout import Dropout
from alexnet.layers.inner_product import InnerProduct
from alexnet.nets import NETS
from tests.conftest import TINY


def without_padding(*, first: type[nn.Linear] = nn.Linear, dropout: float = 0.5) -> nn.Sequential:
    """Return a net of 15 x 15 pixels whose places lie 4 pixels apart: no zeros at the edges."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [
        *(nn.Conv2d(3, 5, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(5, 4, 2)),
        *([] if first is InnerProduct else [nn.Flatten()]),
        *(first(4 * 2 * 2, 11), nn.ReLU(inplace=True), Dropout(dropout)),
        nn.Linear(11, 6, bias=False),
    ]
    return nn.Sequential(*layers).eval()


def pictures(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("first", [nn.Linear, InnerProduct])
@pytest.mark.parametrize(("height", "width"), [(15, 15), (23, 31), (33, 18)])
def test_the_scores_are_those_of_windows_cut_out_one_by_one(
    first: type[nn.Linear], height: int, width: int
) -> None:
    net, x = without_padding(first=first), pictures(3, 3, height, width)
    dense = DenseNet(net.named_children(), input_size=15, channels=3)
    found = dense.score_map(x)
    tops, lefts = range(0, height - 14, 4), range(0, width - 14, 4)
    assert found.shape == (3, 6, len(tops), len(lefts))
    windows = torch.stack(
        [
            torch.stack([net(x[:, :, t : t + 15, left : left + 15]) for left in lefts], -1)
            for t in tops
        ],
        -2,
    )
    torch.testing.assert_close(found, windows, rtol=1e-5, atol=1e-6)  # float32 in another order
    torch.testing.assert_close(dense(x), windows.mean((2, 3)), rtol=1e-5, atol=1e-6)


def test_at_the_size_of_the_crop_a_net_with_padding_and_norms_answers_as_ever() -> None:
    net = TINY.build(classes=7)
    net.init_weights(torch.Generator().manual_seed(0))
    x = 50 * pictures(2, 3, 67, 67)
    dense = DenseNet(net.steps(), input_size=67, channels=3)
    torch.testing.assert_close(dense(x), net.eval()(x), rtol=1e-5, atol=1e-6)
    assert dense.score_map(pictures(1, 3, 131, 99)).shape == (1, 7, 3, 2)


@pytest.mark.parametrize("pool", [1, 4])
def test_pools_of_a_fixed_number_of_windows_keep_the_size_that_those_had(pool: int) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(pool), nn.Flatten()]
    net = nn.Sequential(*layers, nn.Linear(5 * pool**2, 3)).eval()
    dense = DenseNet(net.named_children(), input_size=6, channels=3)
    x = pictures(2, 3, 7, 6)
    windows = torch.stack([net(x[:, :, t : t + 6]) for t in range(2)]).mean(0)
    torch.testing.assert_close(dense(x), windows, rtol=1e-5, atol=1e-6)


def test_a_net_that_ends_in_a_mean_over_its_maps_answers_as_ever() -> None:
    net = NETS["resnet18"].build(classes=3, input_size=32)
    net.init_weights(torch.Generator().manual_seed(0))
    x = pictures(1, 3, 32, 32)
    dense = DenseNet(net.steps(), input_size=32, channels=3)
    torch.testing.assert_close(dense(x), net.eval()(x), rtol=1e-4, atol=1e-4)


def test_the_weights_are_the_nets_own_memory() -> None:
    net = without_padding()
    dense = DenseNet(net.named_children(), input_size=15, channels=3)
    own = {p.data_ptr() for p in net.parameters()}
    assert {p.data_ptr() for p in dense.parameters()} == own


def test_what_has_no_dense_form_is_refused() -> None:
    net = without_padding()
    dense = DenseNet(net.named_children(), input_size=15, channels=3)
    with pytest.raises(ValueError, match=r"^pictures of 14 x 20 pixels are smaller than the net's"):
        dense(pictures(1, 3, 14, 20))
    with pytest.raises(ValueError, match=r"^the net has no fully connected layer"):
        split(net[:4].named_children())
    odd = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(45, 2))
    with pytest.raises(ValueError, match=r"^layer 1 averages maps of 4 x 4 into 3 windows of"):
        DenseNet(odd.named_children(), input_size=6, channels=3)
    odd = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Softmax(1), nn.Linear(80, 2))
    with pytest.raises(ValueError, match=r"^layer 2 \(Softmax\) takes no maps, so that this net"):
        DenseNet(odd.named_children(), input_size=6, channels=3)
