"""Caffe's solver: it trains a net from text, tests it on the way, and writes snapshots.

Source: Caffe, solver.cpp. Its order is kept: test, passes forward and backward, update, signals and
snapshot; so are the lines of its log. What differs: the loss of an iteration is waited for only
where it is shown.

After a snapshot is restored the data layers start from their beginning, as in the original: a run
in two parts sees other pictures in its second part than a run in one.
"""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from alexnet.caffe.log import LOG
from alexnet.caffe.nets import build_test_nets, build_train_net, share_weights
from alexnet.caffe.placement import CPU, place_net, run_there
from alexnet.caffe.policy import rate_at
from alexnet.caffe.scores import Scores, scores_of
from alexnet.caffe.signals import Action, no_action
from alexnet.caffe.snapshot import Progress, check_prefix, restore_snapshot, save_snapshot
from alexnet.caffe.update import Updates
from alexnet.text.graph import Pass
from alexnet.text.message import Message
from alexnet.text.prototxt import print_text
from alexnet.text.solver_rules import check_solver


class Solver:
    """A net in training, by what a SolverParameter says."""

    def __init__(
        self,
        parameters: Message,
        *,
        place: torch.device = CPU,
        dtype: torch.dtype = torch.float32,
        requested: Callable[[], Action] = no_action,
    ) -> None:
        """Build the nets at a place; `requested` is asked after each update what signals want.

        `dtype` is that of products; with bfloat16 numbers are no longer the original's.

        Raises: TextError if the solver or a net is refused.
        """
        check_solver(parameters)
        check_prefix(parameters)
        LOG.info(f"Initializing solver from parameters:\n{print_text(parameters)}")
        self.parameters = parameters
        self._requested, self._place, self._dtype = requested, place, dtype
        self._generator = torch.Generator()
        if parameters["random_seed"] >= 0:
            torch.manual_seed(parameters["random_seed"])  # layers that drop out draw from torch's
            self._generator.manual_seed(parameters["random_seed"])
        else:
            self._generator.seed()
        self.net = place_net(build_train_net(parameters, generator=self._generator), place)
        self.updates = Updates(self.net.learnable, parameters)
        tested = build_test_nets(parameters, generator=self._generator)
        self.test_nets = [place_net(net, place) for net in tested]
        self.progress = Progress(0, 0)
        self.stopped = False
        """Whether a signal has ended the training."""
        LOG.info("Solver scaffolding done.")

    def restore(self, path: Path) -> None:
        """Go on from a .solverstate and the weights that it names.

        Raises: TextError if it is another net's or another kind of solver's.
        """
        self.progress = restore_snapshot(path, net=self.net, history=self.updates.history)

    def snapshot(self) -> tuple[Path, Path]:
        """Write weights and state, and return their paths."""
        return save_snapshot(
            self.parameters, self.progress, net=self.net, history=self.updates.history
        )

    def solve(self) -> None:
        """Train up to max_iter updates, or until a signal stops it."""
        wanted = self.parameters
        LOG.info(f"Solving {self.net.net_name}")
        LOG.info(f"Learning Rate Policy: {wanted['lr_policy']}")
        self.stopped = False
        losses = self.step(wanted["max_iter"] - self.progress.iteration)
        if wanted["snapshot_after_train"] and not self._due("snapshot"):
            self.snapshot()
        if self.stopped:
            LOG.info("Optimization stopped early.")
            return
        if self._due("display"):
            with torch.no_grad():
                losses.append(run_there(self.net, self._place, dtype=self._dtype).loss)
            LOG.info(f"Iteration {self.progress.iteration}, loss = {_mean(losses):g}")
        if self._due("test_interval"):
            self.test_all()
        LOG.info("Optimization Done.")

    def step(self, count: int) -> "deque[Tensor]":
        """Make some updates, with the tests and snapshots that are due between them.

        Returns the losses of the last iterations, average_loss of them.
        """
        wanted = self.parameters
        losses: deque[Tensor] = deque(maxlen=wanted["average_loss"])
        shown = time.monotonic(), self.progress.iteration
        for _ in range(count):
            if self._due("test_interval") and (
                self.progress.iteration or wanted["test_initialization"]
            ):
                self.test_all()
                if self.stopped:
                    break
            loss, result = self._pass()
            losses.append(loss)
            if self._due("display"):
                self._show(result, _mean(losses), shown)
                shown = time.monotonic(), self.progress.iteration
            self._update()
            action = self._requested()
            if self._due("snapshot") or action == "snapshot":
                self.snapshot()
            if action == "stop":
                self.stopped = True
                break
        return losses

    def _due(self, field: str) -> bool:
        """Tell whether the iteration is a multiple of a field of the solver's."""
        interval: int = self.parameters[field]
        return interval > 0 and self.progress.iteration % interval == 0

    def _pass(self) -> tuple[Tensor, Pass]:
        """Sum the gradients of iter_size batches; return their mean loss, and the last outputs."""
        for blob in self.net.learnable:
            blob.tensor.grad = None
        total = torch.zeros(())
        for _ in range(self.parameters["iter_size"]):
            result = run_there(self.net, self._place, dtype=self._dtype)
            if result.loss.requires_grad:
                result.loss.backward()
            total = total.to(result.loss.device) + result.loss.detach()
        return total / self.parameters["iter_size"], result

    def _show(self, result: Pass, loss: float, shown: tuple[float, int]) -> None:
        iteration = self.progress.iteration
        elapsed = time.monotonic() - shown[0]
        speed = (iteration - shown[1]) / (elapsed or 1)
        LOG.info(
            f"Iteration {iteration} ({speed:g} iter/s, {elapsed:g}s/{self.parameters['display']} "
            f"iters), loss = {loss:g}"
        )
        for number, score in enumerate(scores_of(self.net, result.blobs)):
            LOG.info(f"    Train net output #{number}: {score}")

    def _update(self) -> None:
        iteration, before = self.progress
        rate, step = rate_at(self.parameters, iteration, before)
        if step != before and self.parameters["lr_policy"] == "multistep":
            LOG.info(f"MultiStep Status: Iteration {iteration}, step = {step}")
        if self._due("display"):
            LOG.info(f"Iteration {iteration}, lr = {rate:g}")
        clipped = self.updates.apply(rate, iteration)
        if clipped:
            LOG.info(
                f"Gradient clipping: scaling down gradients (L2 norm {clipped.length:g} > "
                f"{self.parameters['clip_gradients']:g}) by scale factor {clipped.factor:g}"
            )
        self.progress = Progress(iteration + 1, step)

    def test_all(self) -> None:
        """Test each test net until a signal asks to stop."""
        for number in range(len(self.test_nets)):
            if not self.stopped:
                self.test(number)

    @torch.no_grad()
    def test(self, number: int) -> Scores:
        """Run a test net over its batches with the weights in training, and log its outputs."""
        LOG.info(f"Iteration {self.progress.iteration}, Testing net (#{number})")
        net = self.test_nets[number]
        share_weights(net, self.net)
        scores = Scores(net)
        for _ in range(self.parameters["test_iter"][number]):
            while (action := self._requested()) != "none":
                if action == "snapshot":
                    self.snapshot()
                else:
                    self.stopped = True
            if self.stopped:
                LOG.info("Test interrupted.")
                return scores
            scores.add(run_there(net, self._place, dtype=self._dtype))
        if self.parameters["test_compute_loss"]:
            LOG.info(f"Test loss: {scores.loss:g}")
        for index, score in enumerate(scores.means()):
            LOG.info(f"    Test net output #{index}: {score}")
        return scores


def _mean(losses: "deque[Tensor]") -> float:
    return float(torch.stack(list(losses)).mean())
