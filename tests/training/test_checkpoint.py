"""Checkpoints: which are kept, which is taken, and what is refused."""

from pathlib import Path

import pytest
import torch

from alexnet.nets.alexnet import AlexNet
from alexnet.store import StoreError
from alexnet.training.checkpoint import (
    Position,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from alexnet.training.schedule import Plateau
from alexnet.training.sgd import MomentumSGD
from tests.conftest import TINY

CLASSES = ("cat", "dog")


def state(seed: int, classes: int = 2) -> tuple[AlexNet, MomentumSGD]:
    net = TINY.build(classes=classes)
    net.init_weights(torch.Generator().manual_seed(seed))
    optimizer = MomentumSGD(net)
    for velocity in optimizer.velocities().values():
        velocity.normal_(generator=torch.Generator().manual_seed(seed))
    return net, optimizer


def save(folder: Path, step: int, *, seed: int = 0) -> None:
    net, optimizer = state(seed)
    position = Position(step=step)
    save_checkpoint(folder, position, net.state_dict(), optimizer.velocities(), CLASSES)


def test_position_weights_and_velocities_come_back_bit_for_bit(tmp_path: Path) -> None:
    plateau = Plateau(best_error=12.0, epochs_without_gain=2, drops=1)
    position = Position(
        step=37,
        epoch=2,
        index=11,
        seconds=0.1,
        plateau=plateau,
        loss_sum=torch.tensor(1 / 3),
        loss_steps=7,
        finished=True,
    )
    net, optimizer = state(1)
    save_checkpoint(tmp_path, position, net.state_dict(), optimizer.velocities(), CLASSES)
    other, other_optimizer = state(2)
    found = load_checkpoint(newest_checkpoint(tmp_path), other, other_optimizer, CLASSES)
    assert found.loss_sum == float(torch.tensor(1 / 3))
    position.loss_sum = found.loss_sum
    assert found == position
    for name, parameter in net.named_parameters():
        assert torch.equal(other.get_parameter(name), parameter), name
        velocity = optimizer.velocities()[name]
        assert torch.equal(other_optimizer.velocities()[name], velocity), name


def test_the_newest_two_are_kept_and_the_newest_is_taken(tmp_path: Path) -> None:
    for step in (5, 20, 100):
        save(tmp_path, step)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000020", "step-00000100"]
    assert newest_checkpoint(tmp_path).name == "step-00000100"


def test_a_checkpoint_that_was_never_finished_is_passed_over(tmp_path: Path) -> None:
    save(tmp_path, 5)
    (tmp_path / "step-00000009").mkdir()
    (tmp_path / "step-00000009" / "weights.safetensors.tmp").write_bytes(b"half")
    assert newest_checkpoint(tmp_path).name == "step-00000005"


def test_none_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no checkpoint; start the run again without --res"):
        newest_checkpoint(tmp_path / "checkpoints")


def test_saving_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 5, seed=1)
    save(tmp_path, 5, seed=2)
    net, optimizer = state(3)
    load_checkpoint(newest_checkpoint(tmp_path), net, optimizer, CLASSES)
    assert torch.equal(net.get_parameter("fc8.weight"), state(2)[0].get_parameter("fc8.weight"))


def test_a_damaged_checkpoint_names_the_tensor_and_changes_nothing(tmp_path: Path) -> None:
    save(tmp_path, 5)
    path = next((tmp_path / "step-00000005").glob("weights-*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    net, optimizer = state(3)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(StoreError, match=r"digest of tensor '[a-z0-9.]+' does not match"):
        load_checkpoint(newest_checkpoint(tmp_path), net, optimizer, CLASSES)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("cat", "cow"), r"2 classes and the data have 2: missing \['dog'\], new \['cow'\]; give"),
        (("cat",), r"on 2 classes and the data have 1: missing \['dog'\], new \[\]"),
        (("cat", "dog", "emu"), r"on 2 classes and the data have 3: missing \[\], new \['emu'\]"),
    ],
)
def test_other_classes_are_named(tmp_path: Path, classes: tuple[str, ...], message: str) -> None:
    save(tmp_path, 5)
    with pytest.raises(StoreError, match=message):
        load_checkpoint(newest_checkpoint(tmp_path), *state(0, len(classes)), classes)
