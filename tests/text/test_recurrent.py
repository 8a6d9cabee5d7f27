"""RNN and LSTM: streams from run to run, exposed states, and what they refuse.

Values and gradients are held to the original's in test_second_tier.
"""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.autograd import gradcheck

from alexnet.text.graph import TextNet
from alexnet.text.kind import Shape, blobs
from alexnet.text.prototxt import parse
from alexnet.text.recurrent import KINDS, RecurrentLayer
from tests.text.single_layer import draw, make, refused

Array = NDArray[np.float64]
STATES = {"RNN": 1, "LSTM": 2}


def text(kind: str, more: str = "") -> str:
    """Return a layer with a state of four numbers."""
    return f'type: "{kind}" recurrent_param {{ num_output: 4 {more} }}'


def marks(steps: int, streams: int) -> torch.Tensor:
    """Return marks where some sequences begin in the middle."""
    values = np.random.default_rng(1).integers(2, size=(steps, streams))
    return torch.from_numpy(values.astype(np.float64))


def make_recurrent(text: str, shapes: Sequence[Shape], *, tops: int = 1) -> RecurrentLayer:
    """Build an RNN or an LSTM."""
    layer = make(KINDS, text, shapes, tops=tops)
    assert isinstance(layer, RecurrentLayer)
    return layer


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def test_an_lstm_is_its_equations() -> None:
    layer = make_recurrent(text("LSTM"), [(5, 3, 2), (5, 3)])
    x, cont = draw(5, 3, 2), marks(5, 3)
    w, b, u = (blob.detach().numpy() for blob in blobs(layer))
    h = c = np.zeros((3, 4))
    expected = []
    for value, mark in zip(x.detach().numpy(), cont.numpy()[:, :, None], strict=True):
        i, f, o, g = np.split(value @ w.T + b + (mark * h) @ u.T, 4, axis=1)
        c = mark * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        expected.append(h)
    np.testing.assert_allclose(layer(x, cont).detach().numpy(), expected, rtol=1e-10)


def test_an_rnn_is_its_equations() -> None:
    layer = make_recurrent(text("RNN"), [(5, 3, 2), (5, 3), (3, 6)])
    x, cont, static = draw(5, 3, 2), marks(5, 3), draw(3, 6, seed=1)
    w, b, ws, u, v, bo = (blob.detach().numpy() for blob in blobs(layer))
    h = np.zeros((3, 4))
    expected = []
    for value, mark in zip(x.detach().numpy(), cont.numpy()[:, :, None], strict=True):
        h = np.tanh(value @ w.T + b + (mark * h) @ u.T + static.detach().numpy() @ ws.T)
        expected.append(np.tanh(h @ v.T + bo))
    np.testing.assert_allclose(layer(x, cont, static).detach().numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("kind", STATES)
def test_a_stream_goes_on_in_the_next_run_and_begins_anew_after_a_reset(kind: str) -> None:
    layer = make_recurrent(text(kind), [(6, 2, 3), (6, 2)])
    x, cont = draw(6, 2, 3), torch.ones(6, 2)
    whole = layer(x, cont)
    layer.reset()
    parts = [layer(x[:4], cont[:4]), layer(x[4:], cont[4:])]
    torch.testing.assert_close(torch.cat(parts), whole)
    layer.reset()
    torch.testing.assert_close(layer(x[:1], cont[:1]), whole[:1])


@pytest.mark.parametrize("kind", STATES)
def test_another_number_of_streams_begins_with_zeros(kind: str) -> None:
    layer = make_recurrent(text(kind), [(3, 2, 3), (3, 2)])
    x = draw(3, 4, 3)
    first = layer(x, torch.ones(3, 4))
    layer(x[:, :2], torch.ones(3, 2))
    torch.testing.assert_close(layer(x, torch.ones(3, 4)), first)


@pytest.mark.parametrize("kind", STATES)
def test_exposed_states_are_where_the_next_run_goes_on(kind: str) -> None:
    count = STATES[kind]
    states = [torch.zeros(1, 2, 4, dtype=torch.float64)] * count
    shapes = [(6, 2, 3), (6, 2), *[(1, 2, 4)] * count]
    layer = make_recurrent(text(kind, "expose_hidden: true"), shapes, tops=1 + count)
    x, cont = draw(6, 2, 3), torch.ones(6, 2)
    whole, *last = layer(x, cont, *states)
    first, *between = layer(x[:2], cont[:2], *states)
    second, *end = layer(x[2:], cont[2:], *between)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(end, last)
    assert not any(state.requires_grad for state in between)


@pytest.mark.parametrize("kind", STATES)
def test_a_run_has_the_derivative_as_gradient(kind: str) -> None:
    layer = make_recurrent(text(kind), [(3, 2, 2), (3, 2), (2, 3)])
    cont = marks(3, 2)

    def run(x: torch.Tensor, static: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        layer.reset()
        y = layer(x, cont, static)
        assert isinstance(y, torch.Tensor)
        return y

    assert gradcheck(run, (draw(3, 2, 2), draw(2, 3, seed=1), *blobs(layer)))


def test_a_unit_is_a_step_of_an_lstm() -> None:
    layer = make(KINDS, 'type: "LSTMUnit"', [(1, 3, 2), (1, 3, 8), (1, 3)], tops=2)
    cont = torch.tensor([[1.0, 0.0, 1.0]])
    assert gradcheck(lambda c, gates: layer(c, gates, cont), (draw(1, 3, 2), draw(1, 3, 8)))


def test_a_unit_refuses_bottoms_that_do_not_fit() -> None:
    why = "bottoms are (1, 3, 2), (1, 3, 6) and (1, 3); give (1, N, H), (1, N, 4 H) and (1, N)"
    refused(KINDS, 'type: "LSTMUnit"', [(1, 3, 2), (1, 3, 6), (1, 3)], why=why, tops=2)


def test_recurrent_layers_refuse_what_does_not_fit() -> None:
    refused(KINDS, 'type: "RNN"', [(3, 2, 2), (3, 2)], why="num_output is missing or 0")
    why = "bottoms are (3, 2) and (3, 2); give (steps, streams, ...) and (steps, streams)"
    refused(KINDS, text("LSTM"), [(3, 2), (3, 2)], why=why)
    refused(KINDS, text("LSTM"), [(3, 2, 5), (3, 1)], why="give (steps, streams, ...)")
    why = "the static bottom is (3, 4); give (2 streams, ...)"
    refused(KINDS, text("RNN"), [(3, 2, 5), (3, 2), (3, 4)], why=why)
    shown = text("RNN", "expose_hidden: true")
    why = "an exposed state is (1, 2, 3); with num_output 4 and 2 streams it is (1, 2, 4)"
    refused(KINDS, shown, [(3, 2, 5), (3, 2), (1, 2, 3)], why=why, tops=2)
    why = "with expose_hidden it takes 3 or 4 bottoms and makes 2 tops"
    refused(KINDS, shown, [(3, 2, 5), (3, 2)], why=why, tops=2)
    why = "4 bottoms and 1 tops; without expose_hidden it takes 2 or 3 bottoms and makes 1 tops"
    refused(KINDS, text("LSTM"), [(3, 2, 5), (3, 2), (2, 4), (1, 2, 4)], why=why)


def test_the_blobs_stand_in_the_originals_order() -> None:
    shapes = [(3, 2, 5), (3, 2), (2, 7)]
    lstm = make(KINDS, text("LSTM"), shapes)
    rnn = make(KINDS, text("RNN"), shapes)
    assert [tuple(b.shape) for b in blobs(lstm)] == [(16, 5), (16,), (16, 7), (16, 4)]
    wanted = [(4, 5), (4,), (4, 7), (4, 4), (4, 4), (4,)]
    assert [tuple(b.shape) for b in blobs(rnn)] == wanted


@pytest.mark.parametrize("kind", STATES)
def test_a_net_of_very_many_steps_is_built_at_once(kind: str) -> None:
    whole = f"""
    layer {{ name: "in" type: "Input" top: "x" top: "cont" input_param {{
      shape {{ dim: 500000000 dim: 1 dim: 1 }} shape {{ dim: 500000000 dim: 1 }} }} }}
    layer {{ name: "it" bottom: "x" bottom: "cont" top: "y" {text(kind)} }}
    """
    with torch.device("meta"):
        net = TextNet(parse(whole, "NetParameter"))
    assert net.shapes["y"] == (500_000_000, 1, 4)
