"""A small net with what AlexNet has not: blocks, batch norm, merges, an auxiliary classifier."""

import torch
from torch import Tensor, nn

from alexnet.layers.merge import Add, Concat
from alexnet.nets.chain import Chain, Heads

WEIGHT = 0.3


class Branches(nn.Module):
    """A convolution of 3 x 3 beside one of 5 x 5, their maps together, and a shortcut around."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv3x3 = nn.Conv2d(channels, channels - 2, 3, padding=1, bias=False)
        self.conv5x5 = nn.Conv2d(channels, 2, 5, padding=2)
        self.concat = Concat()
        self.norm = nn.BatchNorm2d(channels)
        self.add = Add()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(norm([conv3x3(x), conv5x5(x)]) + x)."""
        joined = self.norm(self.concat(self.conv3x3(x), self.conv5x5(x)))
        y: Tensor = self.relu(self.add(joined, x))
        return y


class BlockNet(Chain):
    """conv1, a block, a mean over places, fc; while training, `head` reads the block too."""

    def __init__(self, classes: int = 3, input_size: int = 16) -> None:
        super().__init__()
        self.classes, self.input_size = classes, input_size
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.block = Branches(6)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(6, classes)
        self.head = nn.Linear(6, classes)

    def steps(self) -> list[tuple[str, nn.Module]]:  # type: ignore[override]
        """Leave out the head."""
        return [(name, layer) for name, layer in self.named_children() if name != "head"]

    def heads(self, x: Tensor) -> Heads:
        """Return the logits and those of the head."""
        seen = self.pool(self.block(self.conv1(x)))
        return Heads(self.fc(seen.flatten(1)), (self.head(seen.flatten(1)),), WEIGHT)

    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw weights of deviation .3."""
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)


def block_net(seed: int = 0) -> BlockNet:
    """Return the net with weights of that seed and statistics that are not those of a new one."""
    generator = torch.Generator().manual_seed(seed)
    net = BlockNet()
    net.init_weights(generator)
    with torch.no_grad():
        net.block.norm.weight.copy_(1 + 0.2 * torch.rand(6, generator=generator))
        for name, buffer in net.block.norm.named_buffers():
            if name.startswith("running"):
                buffer.copy_(0.5 + torch.rand(6, generator=generator))
    return net
