"""GPUs and the wires between them in numbers, and how long a message between them takes.

With K devices in a ring over M nodes, h = (K - M) * (link's delay) + (M - 1) * (network's delay),
and B the bandwidth of the slowest wire of the ring:

    all_gather       h + (K - 1) * b / B          b: the own part
    reduce_scatter   h + (K - 1) / K * b / B      b: the parts for all
    all_reduce       2 h + 2 (K - 1) / K * b / B  b: the tensor
    broadcast        h + b / B                    b: the tensor, which each passes on in pieces
    reduce           h + b / B                    b: the tensor

b is what each process hands to the operation. Source of the equations: Thakur, Rabenseifner and
Gropp 2005, "Optimization of collective communication operations in MPICH", sections 4.1 and 4.5,
without the time of the additions. NCCL may take trees, whose delay grows with the logarithm of K.
"""

from dataclasses import dataclass, replace
from typing import Literal

from alexnet.nearest import nearest

Operation = Literal["all_gather", "reduce_scatter", "all_reduce", "broadcast", "reduce"]
Direction = Literal["forward", "backward"]
Precision = Literal["fp32", "bf16"]

LINK_SHARE = 0.75
"""Share of a wire's bandwidth that messages reach: 6 of the 8 GB/s of PCI Express 2.0 in Krizhevsky
2014, experiments; about 235 of NVLink's 300 GB/s in published runs of NCCL on an A100."""
MEMORY_SHARE = 0.85
"""Share of the memory's bandwidth that layers without matrices reach; a copy on an H200 reached 4.3
of 4.8 TB/s."""
SHARE = 0.4
"""Share of the arithmetic ceiling that layers with matrices reach: what a K20 made of it in 2014
(see docs/scaling.md). A share measured on the machine in question is better."""


@dataclass(frozen=True)
class Gpu:
    """One device and its wires, by the vendor's figures."""

    source: str
    """Where the figures come from."""
    fp32: float
    """Ceiling in float32, in operations a second; a multiply-add is two."""
    bf16: float | None
    """Ceiling of the matrix units in bfloat16, None where there are none."""
    memory_bytes: int
    memory_bandwidth: float
    """Bytes a second."""
    link_bandwidth: float
    """Bytes a second that a device sends to others of its node, while it receives as many."""
    network_bandwidth: float
    """Bytes a second that a device sends to another node, its share of the node's adapters."""
    link_delay: float = 5e-6
    """Seconds from one device to the next, however small the message; an estimate."""
    network_delay: float = 15e-6
    """The same from node to node; an estimate."""

    def ceiling(self, precision: Precision) -> float:
        """Return the operations a second in a precision.

        Raises: ValueError if the device has no units for it.
        """
        if precision == "fp32":
            return self.fp32
        if self.bf16 is None:
            raise ValueError(
                f"precision is bf16, for which this GPU has no units ({self.source}); take "
                "--precision fp32"
            )
        return self.bf16


GPUS: dict[str, Gpu] = {
    "gtx-580": Gpu(
        source="GeForce GTX 580 with 3 GB, PCI Express 2.0 x16; 10 gigabit Ethernet assumed",
        fp32=1.581e12,
        bf16=None,
        memory_bytes=3 * 2**30,
        memory_bandwidth=192.4e9,
        link_bandwidth=8e9,
        network_bandwidth=1.25e9,
        link_delay=20e-6,
        network_delay=50e-6,
    ),
    "k20": Gpu(
        source="Tesla K20 data sheet, PCI Express 2.0 x16; the network is the way between the two "
        "switches of the machine of 2014, at half the rate (Krizhevsky 2014, experiments)",
        fp32=3.52e12,
        bf16=None,
        memory_bytes=5 * 2**30,
        memory_bandwidth=208e9,
        link_bandwidth=8e9,
        network_bandwidth=4e9,
        link_delay=20e-6,
        network_delay=50e-6,
    ),
    "v100": Gpu(
        source="Tesla V100 SXM2 data sheet, 32 GB, NVLink 300 GB/s both ways; DGX-1: 4 adapters of "
        "100 Gb/s for 8",
        fp32=15.7e12,
        bf16=None,
        memory_bytes=32 * 2**30,
        memory_bandwidth=900e9,
        link_bandwidth=150e9,
        network_bandwidth=6.25e9,
    ),
    "a100": Gpu(
        source="A100 SXM data sheet, 80 GB, NVLink 600 GB/s both ways; DGX A100: 8 adapters of "
        "200 Gb/s for 8",
        fp32=19.5e12,
        bf16=312e12,
        memory_bytes=80 * 10**9,
        memory_bandwidth=2039e9,
        link_bandwidth=300e9,
        network_bandwidth=25e9,
    ),
    "h100": Gpu(
        source="H100 SXM data sheet, NVLink 900 GB/s both ways; DGX H100: 8 adapters of 400 Gb/s "
        "for 8",
        fp32=67e12,
        bf16=989e12,
        memory_bytes=80 * 10**9,
        memory_bandwidth=3.35e12,
        link_bandwidth=450e9,
        network_bandwidth=50e9,
    ),
    "h200": Gpu(
        source="H200 SXM data sheet, NVLink 900 GB/s both ways; DGX H200: 8 adapters of 400 Gb/s "
        "for 8",
        fp32=67e12,
        bf16=989e12,
        memory_bytes=141 * 10**9,
        memory_bandwidth=4.8e12,
        link_bandwidth=450e9,
        network_bandwidth=50e9,
    ),
}
"""What `--gpu` knows. Ceilings are dense: without the doubling for sparse matrices."""


def find_gpu(name: str) -> Gpu:
    """Return the GPU of that name.

    Raises: ValueError if there is none; the message gives the nearest name and all of them.
    """
    if name not in GPUS:
        raise ValueError(
            f"no GPU is called {name!r}{nearest(name, GPUS)}; the GPUs are {', '.join(GPUS)}"
        )
    return GPUS[name]


@dataclass(frozen=True)
class Message:
    """What every process of a circle does together to exchange tensors."""

    layer: str
    """The layer that needs it, or what is sent."""
    direction: Direction
    operation: Operation
    ranks: int
    """Processes in the circle."""
    handed_bytes: int
    """Bytes that each process hands to the operation."""
    stride: int = 1
    """Distance of neighbours in the circle, in ranks."""

    @property
    def sent_bytes(self) -> float:
        """Bytes that each process sends in a ring; the module has the equations."""
        others = self.ranks - 1
        match self.operation:
            case "all_gather":
                return others * self.handed_bytes
            case "reduce_scatter":
                return others / self.ranks * self.handed_bytes
            case "all_reduce":
                return 2 * others / self.ranks * self.handed_bytes
        return self.handed_bytes


@dataclass(frozen=True)
class Cluster:
    """Devices of one kind in nodes of equal size; ranks count through a node, then the next."""

    gpu: Gpu
    devices: int
    devices_per_node: int

    @property
    def nodes(self) -> int:
        """Return how many nodes there are."""
        return -(-self.devices // self.devices_per_node)

    def alone(self) -> "Cluster":
        """Return one device of them."""
        return replace(self, devices=1)

    def seconds(self, message: Message) -> float:
        """Return how long a message takes when nothing else is under way.

        Units:   seconds; the module has the equations.
        """
        if message.ranks == 1:
            return 0.0
        reach = (message.ranks - 1) * message.stride + 1
        # a circle starts where its stride divides the node, or goes through all nodes anyhow
        nodes = -(-reach // self.devices_per_node)
        inside = message.ranks - nodes if message.stride < self.devices_per_node else 0
        delay = inside * self.gpu.link_delay
        delay += (message.ranks - 1 - inside) * self.gpu.network_delay
        slowest = self.gpu.link_bandwidth
        if nodes > 1:
            slowest = min(slowest, self.gpu.network_bandwidth)
        passes = 2 if message.operation == "all_reduce" else 1
        return passes * delay + message.sent_bytes / (LINK_SHARE * slowest)
