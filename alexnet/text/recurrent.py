"""Kinds of layers over sequences: RNN, LSTM, and one step of the latter, LSTMUnit.

Source: BVLC Caffe, src/caffe/layers/{recurrent,rnn,lstm,lstm_unit}_layer.cpp, after Donahue et al.
2015, "Long-term Recurrent Convolutional Networks". A sequence lies along the first axis, and
independent streams along the second. `cont` is 0 where a sequence begins and 1 where it goes on; a
stream goes on from one run to the next, without gradients from one to the other, unless the
states are bottoms and tops of the layer (expose_hidden). Those pass no gradient either.

What differs: the number of steps may change from run to run; a changed number of streams begins
with zeros; marks between 0 and 1 have the exact gradient of the forget gate, the original's an
approximate one.
"""

import math
from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.text.kind import Initial, Kind, Setting, Tops
from alexnet.text.message import Message

States = tuple[Tensor, ...]


def lstm_step(c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next cell and hidden state of an LSTM.

        i, f, o = sigmoid(gates[0]), cont * sigmoid(gates[1]), sigmoid(gates[2])
        c' = f * c + i * tanh(gates[3]),  h' = o * tanh(c')

    Shapes:  c (..., H), gates (..., 4 * H), cont (..., 1) -> two of (..., H).
    """
    i, f, o, g = gates.chunk(4, -1)
    c = cont * f.sigmoid() * c + i.sigmoid() * g.tanh()
    return c, o.sigmoid() * c.tanh()


class LSTMUnit(nn.Module):
    """One step of an LSTM, without weights.

    Shapes:  c (1, N, H), gates (1, N, 4 * H), cont (1, N) -> c' and h' (1, N, H).
    """

    def forward(self, c: Tensor, gates: Tensor, cont: Tensor) -> Tops:
        """Return the next cell and hidden state."""
        return lstm_step(c, gates, cont.detach().unsqueeze(-1))


def lstm_unit(setting: Setting) -> nn.Module:
    """Build an LSTMUnit.

    Raises: TextError if the bottoms do not fit each other.
    """
    c, gates, cont = setting.bottoms
    if len(c) != 3 or c[0] != 1 or gates != (1, c[1], 4 * c[2]) or cont != (1, c[1]):
        raise setting.record.refuse(
            f"bottoms are {c}, {gates} and {cont}; give (1, N, H), (1, N, 4 H) and (1, N)"
        )
    return LSTMUnit()


class _Stream:
    """The states in which the last run ended: plain tensors, which no file holds."""

    def __init__(self) -> None:
        self.states: States = ()

    def begin(self, x: Tensor, count: int, width: int) -> States:
        """Return `count` states (1, N, width) to begin a run with."""
        shape = (1, x.shape[1], width)
        if len(self.states) != count or tuple(self.states[0].shape) != shape:
            return tuple(x.new_zeros(shape) for _ in range(count))
        return tuple(state.to(x) for state in self.states)

    def end(self, states: States) -> None:
        """Keep the states in which a run ended."""
        self.states = tuple(state.detach() for state in states)


class RecurrentLayer(nn.Module):
    """An RNN or an LSTM: its states, and the static input; the step is up to `cell`.

    Shapes:  x (T, N, ...), cont (T, N), static (N, ...) if there is one, states (1, N, H) if they
             are exposed -> (T, N, H), and the last states (1, N, H) if they are exposed.
    """

    def __init__(self, cell: "RNNCell | LSTMCell", *, static: bool, exposed: bool) -> None:
        super().__init__()
        self.cell, self.static, self.exposed = cell, static, exposed
        self.stream = _Stream()

    def forward(self, x: Tensor, cont: Tensor, *more: Tensor) -> Tops:
        """Return the outputs of all steps."""
        cell = self.cell
        inputs = cell.project(x, more[0] if self.static else None)
        if x.is_meta:  # the shapes alone, however many steps there are
            shown = more[-cell.num_states :] if self.exposed else ()
            top = inputs.new_empty((*x.shape[:2], cell.outputs))
            return (top, *shown) if shown else top
        states: States
        if self.exposed:
            states = tuple(state.detach() for state in more[-cell.num_states :])
        else:
            states = self.stream.begin(inputs, cell.num_states, cell.outputs)
        marks = cont.detach().unsqueeze(-1)
        made: list[Tensor] = []
        for step in range(x.shape[0]):
            top, states = cell(inputs[step : step + 1], marks[step : step + 1], states)
            made.append(top)
        if self.exposed:
            return torch.cat(made), *(state.detach() for state in states)
        self.stream.end(states)
        return torch.cat(made)

    def reset(self) -> None:
        """Begin all streams anew with the next run."""
        self.stream.states = ()


class RNNCell(nn.Module):
    """A step of a simple recurrent net.

    h' = tanh(W_hh (cont * h) + W_xh x + b_h + W_xh_static static),  o = tanh(W_ho h' + b_o)
    """

    num_states: Final = 1

    def __init__(self, inputs: int, static: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.W_xh = nn.Parameter(torch.empty(outputs, inputs))
        self.b_h = nn.Parameter(torch.empty(outputs))
        if static:
            self.W_xh_static = nn.Parameter(torch.empty(outputs, static))
        self.W_hh = nn.Parameter(torch.empty(outputs, outputs))
        self.W_ho = nn.Parameter(torch.empty(outputs, outputs))
        self.b_o = nn.Parameter(torch.empty(outputs))

    def project(self, x: Tensor, static: Tensor | None) -> Tensor:
        """Return what the inputs add to the states of all steps, (T, N, H)."""
        y = F.linear(x.flatten(2), self.W_xh, self.b_h)
        return y if static is None else y + F.linear(static.flatten(1), self.W_xh_static)

    def forward(self, x: Tensor, cont: Tensor, states: States) -> tuple[Tensor, States]:
        """Return the output of a step and the next state."""
        h = torch.tanh(F.linear(cont * states[0], self.W_hh) + x)
        return torch.tanh(F.linear(h, self.W_ho, self.b_o)), (h,)


class LSTMCell(nn.Module):
    """A step of an LSTM.

    gates = W_hc (cont * h) + W_xc x + b_c + W_xc_static static; the rest is `lstm_step`
    """

    num_states: Final = 2

    def __init__(self, inputs: int, static: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.W_xc = nn.Parameter(torch.empty(4 * outputs, inputs))
        self.b_c = nn.Parameter(torch.empty(4 * outputs))
        if static:
            self.W_xc_static = nn.Parameter(torch.empty(4 * outputs, static))
        self.W_hc = nn.Parameter(torch.empty(4 * outputs, outputs))

    def project(self, x: Tensor, static: Tensor | None) -> Tensor:
        """Return what the inputs add to the gates of all steps, (T, N, 4 * H)."""
        y = F.linear(x.flatten(2), self.W_xc, self.b_c)
        return y if static is None else y + F.linear(static.flatten(1), self.W_xc_static)

    def forward(self, x: Tensor, cont: Tensor, states: States) -> tuple[Tensor, States]:
        """Return the hidden state after a step, and both states."""
        h, c = states
        c, h = lstm_step(c, F.linear(cont * h, self.W_hc) + x, cont)
        return h, (h, c)


def _recurrent(setting: Setting, cell: type[RNNCell] | type[LSTMCell]) -> nn.Module:
    """Build a RecurrentLayer after checking its bottoms."""
    record, parameter = setting.record, setting.record["recurrent_param"]
    outputs, exposed = parameter["num_output"], parameter["expose_hidden"]
    if outputs < 1:
        raise record.refuse("num_output is missing or 0; give the width of the state")
    states = cell.num_states if exposed else 0
    static = len(setting.bottoms) > 2 + states
    _check_counts(setting, states)
    x, cont, *more = setting.bottoms
    if len(x) < 3 or cont != x[:2] or not x[0]:
        raise record.refuse(
            f"bottoms are {x} and {cont}; give (steps, streams, ...) and (steps, streams)"
        )
    if static and (len(more[0]) < 2 or more[0][0] != x[1]):
        raise record.refuse(f"the static bottom is {more[0]}; give ({x[1]} streams, ...)")
    for shape in more[static:]:
        if shape != (1, x[1], outputs):
            raise record.refuse(
                f"an exposed state is {shape}; with num_output {outputs} and {x[1]} streams it is "
                f"{(1, x[1], outputs)}"
            )
    inputs = math.prod(x[2:])
    made = cell(inputs, math.prod(more[0][1:]) if static else 0, outputs)
    return RecurrentLayer(made, static=static, exposed=exposed)


def _check_counts(setting: Setting, states: int) -> None:
    allowed: Sequence[int] = (2 + states, 3 + states)
    if len(setting.bottoms) not in allowed or setting.tops != 1 + states:
        with_states = "with" if states else "without"
        raise setting.record.refuse(
            f"{len(setting.bottoms)} bottoms and {setting.tops} tops; {with_states} expose_hidden "
            f"it takes {allowed[0]} or {allowed[1]} bottoms and makes {1 + states} tops"
        )


def rnn(setting: Setting) -> nn.Module:
    """Build an RNN.

    Raises: TextError if num_output is missing or the bottoms do not fit.
    """
    return _recurrent(setting, RNNCell)


def lstm(setting: Setting) -> nn.Module:
    """Build an LSTM.

    Raises: TextError if num_output is missing or the bottoms do not fit.
    """
    return _recurrent(setting, LSTMCell)


_WEIGHT: Final = Initial("recurrent_param.weight_filler")
_BIAS: Final = Initial("recurrent_param.bias_filler")


def _of_rnn(record: Message, count: int) -> tuple[Initial, ...]:
    """Return what an RNN's blobs start from; a static bottom adds a weight before the last two."""
    static = (_WEIGHT,) if count == 6 else ()
    return _WEIGHT, _BIAS, _WEIGHT, *static, _WEIGHT, _BIAS


KINDS: Final = {
    "LSTMUnit": Kind(lstm_unit, bottoms=(3, 3), tops=(2, 2)),
    # The blobs of the original's unrolled net; the static weight, if any, is the third.
    "LSTM": Kind(lstm, bottoms=(2, 5), tops=(1, 3), initial=(_WEIGHT, _BIAS, _WEIGHT, _WEIGHT)),
    "RNN": Kind(
        rnn,
        bottoms=(2, 4),
        tops=(1, 2),
        initial=_of_rnn,
    ),
}
