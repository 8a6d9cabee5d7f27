"""torchvision's nets as plain torch modules that carry its names, written down from its docs.

Only names, shapes and the forward pass matter here; weights are loaded.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VGG_PLANS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
RESNET_PLANS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
RESNET_PLANS[152] = (3, 8, 36, 3)


class Features(nn.Module):
    """`features`, a mean to a fixed side, and `classifier`: AlexNet and VGG."""

    def __init__(self, features: Sequence[nn.Module], side: int, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(side)
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return y


def alexnet(classes: int) -> Features:
    """Return torchvision.models.alexnet."""
    features = [
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    ]
    first = (nn.Dropout(), nn.Linear(256 * 36, 4096), nn.ReLU())
    second = (nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU())
    return Features(features, 6, nn.Sequential(*first, *second, nn.Linear(4096, classes)))


def vgg(
    layers: int, classes: int, *, batch_norm: bool, widths: Sequence[int], fc_units: int
) -> Features:
    """Return torchvision.models.vgg11 ... vgg19_bn; its widths are 64, 128, 256, 512, 512."""
    features: list[nn.Module] = []
    channels = 3
    for count, width in zip(VGG_PLANS[layers], widths, strict=True):
        for _ in range(count):
            features.append(nn.Conv2d(channels, width, 3, padding=1))
            features += [nn.BatchNorm2d(width)] if batch_norm else []
            features.append(nn.ReLU())
            channels = width
        features.append(nn.MaxPool2d(2, 2))
    classifier = nn.Sequential(
        *(nn.Linear(channels * 49, fc_units), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(fc_units, fc_units), nn.ReLU(), nn.Dropout()),
        nn.Linear(fc_units, classes),
    )
    return Features(features, 7, classifier)


# ---- ResNet -------------------------------------------------------------------------------------


class Block(nn.Module):
    """BasicBlock (two 3 x 3) or Bottleneck, with its stride in a 3 x 3 convolution."""

    def __init__(self, channels: int, width: int, *, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = 4 * width if bottleneck else width
        plan = (
            [(channels, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
            if bottleneck
            else [(channels, width, 3, stride), (width, width, 3, 1)]
        )
        self.count = len(plan)
        for i, (inputs, made, kernel, step) in enumerate(plan, start=1):
            conv = nn.Conv2d(inputs, made, kernel, step, kernel // 2, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(made))
        self.downsample: nn.Sequential | None = None
        if stride > 1 or channels != outputs:
            conv = nn.Conv2d(channels, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i in range(1, self.count + 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
            y = F.relu(y) if i < self.count else y
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """torchvision.models.resnet18 ... resnet152."""

    def __init__(self, layers: int, classes: int) -> None:
        super().__init__()
        bottleneck = layers >= 50
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for stage, count in enumerate(RESNET_PLANS[layers]):
            width, blocks = 64 << stage, []
            for i in range(count):
                stride = 2 if stage and not i else 1
                blocks.append(Block(channels, width, stride=stride, bottleneck=bottleneck))
                channels = width * (4 if bottleneck else 1)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{stage}")(x)
        y: Tensor = self.fc(x.mean((2, 3)))
        return y


# ---- GoogLeNet ----------------------------------------------------------------------------------


class ConvNorm(nn.Module):
    """BasicConv2d: `conv` without a bias, `bn`, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four branches; the third has kernels of 3 where the paper has 5."""

    def __init__(self, inputs: int, plan: Sequence[int]) -> None:
        super().__init__()
        one, before3, three, before5, five, after = plan
        self.branch1 = ConvNorm(inputs, one, 1)
        self.branch2 = nn.Sequential(ConvNorm(inputs, before3, 1), ConvNorm(before3, three, 3))
        self.branch3 = nn.Sequential(ConvNorm(inputs, before5, 1), ConvNorm(before5, five, 3))
        pool = nn.MaxPool2d(3, 1, 1, ceil_mode=True)
        self.branch4 = nn.Sequential(pool, ConvNorm(inputs, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Auxiliary(nn.Module):
    """InceptionAux without its dropout."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.conv = ConvNorm(inputs, 128, 1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.adaptive_avg_pool2d(x, 4)).flatten(1)
        y: Tensor = self.fc2(F.relu(self.fc1(x)))
        return y


INCEPTIONS = OrderedDict(
    {
        "3a": (192, (64, 96, 128, 16, 32, 32)),
        "3b": (256, (128, 128, 192, 32, 96, 64)),
        "4a": (480, (192, 96, 208, 16, 48, 64)),
        "4b": (512, (160, 112, 224, 24, 64, 64)),
        "4c": (512, (128, 128, 256, 24, 64, 64)),
        "4d": (512, (112, 144, 288, 32, 64, 64)),
        "4e": (528, (256, 160, 320, 32, 128, 128)),
        "5a": (832, (256, 160, 320, 32, 128, 128)),
        "5b": (832, (384, 192, 384, 48, 128, 128)),
    }
)


class GoogLeNet(nn.Module):
    """torchvision.models.googlenet without transform_input and dropout; returns all logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, 64, 7, stride=2)
        self.conv2 = ConvNorm(64, 64, 1)
        self.conv3 = ConvNorm(64, 192, 3)
        for name, (inputs, plan) in INCEPTIONS.items():
            self.add_module(f"inception{name}", Inception(inputs, plan))
        self.aux1 = Auxiliary(512, classes)
        self.aux2 = Auxiliary(528, classes)
        self.fc = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.conv3(self.conv2(x)), 3, 2, ceil_mode=True)
        auxiliary = []
        for name in INCEPTIONS:
            if name == "4a":
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            elif name == "5a":
                x = F.max_pool2d(x, 2, 2, ceil_mode=True)
            x = self.get_submodule(f"inception{name}")(x)
            if name in ("4a", "4d"):
                auxiliary.append(self.get_submodule("aux1" if name == "4a" else "aux2")(x))
        return self.fc(x.mean((2, 3))), auxiliary[0], auxiliary[1]
