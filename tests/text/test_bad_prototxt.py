"""Named bad texts (P1 to P13, P19 to P21), each answered with its place in few calls; fuzz."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.text.message import Message, TextError
from alexnet.text.parser import MAX_LAYERS
from alexnet.text.prototxt import load, parse, print_text
from alexnet.text.upgrade import read_net, upgrade_net
from tests import calls

GOLDEN = Path(__file__).parent.parent / "golden" / "prototxt"
MEGABYTES = 100_000_000
MOST_CALLS = 200 * MAX_LAYERS


@contextmanager
def refused(why: str) -> Iterator[None]:
    """Hold a block to a refusal that says why, after few calls."""
    with calls.at_most(MOST_CALLS), pytest.raises(TextError, match=why):
        yield


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("data", [b"", b" \n", b"# only a comment\n", b"\xef\xbb\xbf"])
def test_p1_an_empty_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with refused(r"net.prototxt:1:1: nothing is set here; a NetParameter was expected"):
        load(written(tmp_path / "net.prototxt", data), "NetParameter")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\n\x05LeNet\xa2\x06\x00", "a binary file, as a caffemodel is; give it where weights"),
        (b"name: 'a'\n" * 9999 + b"\0", "a binary file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as weights may be"),
        (b"PK\x03\x04", "a zip file, as weights of torch are"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"\x89PNG\r\n", "a picture"),
        (b"\xff\xd8\xff\xe0", "a picture"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of git-lfs; fetch the file"),
        (b"<!DOCTYPE html>", "a web page; download the file itself"),
        (b"<html>", "a web page; download the file itself"),
    ],
)
def test_p2_a_file_that_is_no_text_is_refused_with_what_it_is(
    tmp_path: Path, data: bytes, what: str
) -> None:
    with refused(rf"net.prototxt:1:1: this is not text but {what}"):
        load(written(tmp_path / "net.prototxt", data), "NetParameter")


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbfname: 'a'\nlayer { }", b"name: 'a'\r\nlayer { }\r\n"]
)
def test_p3_p4_a_byte_order_mark_and_ends_of_lines_of_windows_are_taken(
    tmp_path: Path, data: bytes
) -> None:
    net = load(written(tmp_path / "net.prototxt", data), "NetParameter")
    assert net == Message("NetParameter", {"name": "a", "layer": [{}]})
    assert net["layer"][0].line == 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_p5_utf_16_is_refused_by_its_name(tmp_path: Path, encoding: str) -> None:
    with refused(r"net.prototxt:1:1: this is not text but UTF-16; save it as UTF-8"):
        load(written(tmp_path / "net.prototxt", "name: 'a'".encode(encoding)), "NetParameter")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "layer {\n  name: 'a'\n  lrn_param {\n}",
            r"n:1:7: layer 'a': the \{ of layer is not closed before the end of the text",
        ),
        ("state <\n", r"n:1:7: the < of state is not closed before the end of the text"),
        ("layer { }\n}", r"n:2:1: this \} closes nothing"),
        (">", r"n:1:1: this > closes nothing"),
    ],
)
def test_p6_a_brace_too_few_or_too_many_is_refused_where_it_stands(text: str, why: str) -> None:
    with refused(f"^{why}"):
        parse(text, "NetParameter", source="n")


@pytest.mark.parametrize("quote", ['"', "'"])
def test_p7_a_string_without_an_end_is_refused_where_it_starts(quote: str) -> None:
    with refused(rf"^n:2:9: layer|^n:2:9: the string that starts here has no closing {quote}"):
        parse(f"layer {{\n  name: {quote}conv1\n  type: 'ReLU' }}", "NetParameter", source="n")
    with refused(rf"^n:1:7: the string that starts here has no closing {quote} on its line"):
        parse(f"name: {quote}" + "x" * MEGABYTES, "NetParameter", source="n")


@pytest.mark.parametrize("opener", ["layer {", "layer <", "layer: [{", "foo {", "{", "["])
@pytest.mark.parametrize("unknown", [None, []])
def test_p8_nesting_without_end_is_refused(opener: str, unknown: list[str] | None) -> None:
    with refused(r"^n:1:\d+: "):
        parse(opener * 100_000, "NetParameter", source="n", allow_unknown=unknown)


@pytest.mark.parametrize("comment", ["#" * MEGABYTES, ("#" * 60 + "\n") * (MEGABYTES // 61)])
def test_p9_a_comment_of_100_megabytes_is_skipped_in_time(comment: str) -> None:
    with refused(r"^n:\d+:1: NetParameter has no field 'nam' \(did you mean 'name'\?\)"):
        parse(f"{comment}\nnam: 'a'", "NetParameter", source="n")


def test_p10_an_unknown_field_names_its_layer_and_the_nearest_field() -> None:
    text = "layer {\n  name: 'conv1'\n  convolution_param {\n    kernel_szie: 3\n  }\n}"
    with refused(
        r"^n:4:5: layer 'conv1': convolution_param \(ConvolutionParameter\) has no field"
        r" 'kernel_szie' \(did you mean 'kernel_size'\?\)"
    ):
        parse(text, "NetParameter", source="n")
    unknown: list[str] = []
    net = parse(text, "NetParameter", source="n", allow_unknown=unknown)
    assert "kernel_size" not in net["layer"][0]["convolution_param"]
    assert [line.split(": ")[:2] for line in unknown] == [["n:4:5", "unknown field"]]
    with refused(r"^n:1:1: NetParameter has no field 'xxx"):
        parse("x" * 1_000_000, "NetParameter", source="n")


@pytest.mark.parametrize(
    ("text", "mode"), [("ceil_mode: false", "FLOOR"), ("round_mode: FLOOR", "FLOOR"), ("", "CEIL")]
)
def test_p11_the_fields_of_forks_for_rounding_are_taken(text: str, mode: str) -> None:
    net = parse(f"layer {{ pooling_param {{ {text} }} }}", "NetParameter")
    assert net["layer"][0]["pooling_param"]["round_mode"] == mode
    assert "round_mode" not in print_text(net) or f"round_mode: {mode}" in print_text(net)


def test_p12_a_wrong_enum_names_the_nearest_value() -> None:
    with refused(
        r"^n:2:24: layer 'p': pool is 'AVG' \(did you mean 'AVE'\?\); it must be one of MAX, AVE,"
        r" STOCHASTIC"
    ):
        parse("layer { name: 'p'\n pooling_param { pool: AVG } }", "NetParameter", source="n")


def test_p13_a_doubled_field_is_refused_with_both_places() -> None:
    with refused(r"^n:2:2: layer 'a': name stands twice in one layer; the first is at n:1:9"):
        parse("layer { name: 'a'\n name: 'b' }", "NetParameter", source="n")
    with refused(r"^n:1:12: state stands twice in one NetParameter; the first is at n:1:1"):
        parse("state { }  state { }", "NetParameter", source="n")


def test_p19_a_net_of_2013_is_upgraded() -> None:
    net = read_net(GOLDEN / "v0_net.prototxt")
    assert net["layer"][4]["type"] == "Convolution"
    assert net["layer"][4]["convolution_param"]["pad"] == [2]


def test_p20_a_net_of_2014_is_upgraded() -> None:
    net = upgrade_net(
        parse("input: 'a' input_dim: [1, 3, 8, 9] layers { type: RELU }", "NetParameter")
    )
    assert [layer["type"] for layer in net["layer"]] == ["Input", "ReLU"]
    assert net["layer"][0]["input_param"]["shape"][0]["dim"] == [1, 3, 8, 9]


def test_p21_layers_of_two_formats_in_one_net_are_refused() -> None:
    text = "layer { type: 'ReLU' }\nlayers { type: RELU }"
    with refused(r"^n:2:1: the net has both `layer` and `layers`; write all of them as `layer \{"):
        upgrade_net(parse(text, "NetParameter", source="n"))


def test_a_million_layers_are_refused_in_time() -> None:
    with refused(r"^n:10001:1: there are more than 10000 layers"):
        parse("layer { name: 'a' type: 'ReLU' }\n" * 1_000_000, "NetParameter", source="n")


TEXTS = [path.read_bytes() for path in sorted(GOLDEN.glob("*.prototxt"))]
PIECES = [b'"', b"'", b"\\", b"{", b"}", b"<", b">", b"[", b"]", b":", b"#", b"\n", b"-", b"0x"]
PIECES += [b"09", b"1e", b"inf", b"layer {", b"\0", b"\xff", b"name: 'x'", b"\xef\xbb\xbf", b"\\u"]


@st.composite
def broken_texts(draw: st.DrawFn) -> bytes:
    """Draw a text with bytes changed, cut out, moved or put in."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 40)))
        match draw(st.sampled_from(["cut", "put", "flip", "move", "end"])):
            case "cut":
                text = text[:start] + text[stop:]
            case "put":
                text = text[:start] + draw(st.sampled_from(PIECES)) + text[start:]
            case "flip":
                text = text[:start] + draw(st.binary(min_size=1, max_size=2)) + text[start + 1 :]
            case "move":
                at = draw(st.integers(0, len(text)))
                text = text[:at] + text[start:stop] + text[at:]
            case "end":
                text = text[:start]
    return text


def outcome(text: str, kind: str, *, unknown: list[str] | None = None) -> Message | str:
    """Return the message of a text, or why it is refused."""
    try:
        return parse(text, kind, source="n", allow_unknown=unknown)
    except TextError as error:
        return str(error)


@settings(max_examples=400, deadline=2000)
@given(broken_texts(), st.booleans())
def test_a_broken_text_is_read_or_refused_and_nothing_else(data: bytes, lenient: bool) -> None:
    text = data.decode("utf-8", "surrogateescape")
    net = outcome(text, "NetParameter", unknown=[] if lenient else None)
    if isinstance(net, str):
        assert net.startswith("n:")
        return
    assert parse(print_text(net), "NetParameter") == net
    try:
        upgraded = upgrade_net(net)
    except TextError:
        return
    assert upgrade_net(upgraded) == upgraded


@settings(max_examples=200, deadline=2000)
@given(st.text())
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    solver = outcome(text, "SolverParameter")
    assert solver == Message("SolverParameter") or str(solver).startswith("n:")
