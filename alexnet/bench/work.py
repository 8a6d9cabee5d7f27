"""What is timed of ours: a training step as `alexnet train` makes it, and an answer."""

import torch
from torch import Tensor, nn

from alexnet.bench.case import RATE, Case, Contender
from alexnet.device import choose_dtype
from alexnet.inspection.summary import summarise
from alexnet.measure import stopwatch
from alexnet.packed import pack
from alexnet.training.sgd import MomentumSGD
from alexnet.training.step import at_work, gradients


def training(case: Case) -> Contender:
    """Return our training step: gradients and update, as `alexnet.training.loop` makes it.

    The pictures are there as the net sees them; reading and cutting them is timed by `data`.
    """
    net = case.draw_net()
    worker = at_work(net, case.dtype)
    optimizer = MomentumSGD(net, worker=worker)
    x, labels = case.draw_pictures().to(case.dtype), case.draw_labels()

    def step() -> None:
        worker.train()
        gradients(worker, x, labels)
        optimizer.step(RATE)

    return Contender(
        "ours", case.precision, stopwatch(step), lambda: logits_of(worker.eval(), x, torch.float32)
    )


def inference(case: Case) -> Contender:
    """Return our answer to a batch by the packed net, as `alexnet predict` computes it.

    In int8 the weights of the fully connected layers have 8 bits; the convolutions run in the
    arithmetic that suits the chip.
    """
    if case.precision == "int8":
        chip = choose_dtype("auto", torch.device("cpu"))
        net = pack(case.draw_net(), dtype=chip, fully_connected="int8")
    else:
        net = pack(case.draw_net(), dtype=case.dtype)
    x = case.draw_pictures()

    def answer() -> Tensor:
        return logits_of(net, x, torch.float32)

    return Contender("ours", case.precision, stopwatch(answer), answer)


@torch.inference_mode()
def logits_of(net: nn.Module, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a net's logits in float32; a `dtype` other than that is autocast's."""
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        logits: Tensor = net(x)
    return logits.float()


def training_flop(case: Case) -> int:
    """Return the operations of a training step.

        6 * multiply-adds * batch, less 2 * those of the first layer, which passes no gradient on

    Norms, pools and the update are not counted.
    """
    layers = summarise(case.net, classes=case.classes, input_size=case.side).layers
    first = next(layer.multiply_adds for layer in layers if layer.multiply_adds)
    return case.batch * (6 * sum(layer.multiply_adds for layer in layers) - 2 * first)


def inference_flop(case: Case) -> int:
    """Return the operations of an answer, 2 * multiply-adds * batch."""
    layers = summarise(case.net, classes=case.classes, input_size=case.side).layers
    return 2 * case.batch * sum(layer.multiply_adds for layer in layers)
