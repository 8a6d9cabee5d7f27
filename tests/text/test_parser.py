import numpy as np
import pytest

from alexnet.text.lexer import Tokens
from alexnet.text.message import Message, TextError
from alexnet.text.parser import MAX_LAYERS, MAX_NESTING, Parser


def read(text: str, kind: str = "NetParameter", *, unknown: list[str] | None = None) -> Message:
    return Parser(Tokens(text, source="n"), unknown).read(kind)


@pytest.mark.parametrize(
    "text",
    [
        'layer { name: "a" top: "b" top: "c" param { lr_mult: 1 } param { lr_mult: 2 } }',
        'layer: { name: "a" top: "b" top: "c" param: { lr_mult: 1 } param { lr_mult: 2 } }',
        "layer < name: 'a' top: ['b', 'c'] param [{ lr_mult: 1 }, < lr_mult: 2 >] >",
        'layer: [{ name: "a", top: "b"; top: ["c"], param: [{lr_mult:1}]; param{lr_mult:2;}; }];',
        'layer{name:"a"top:"b"top:"c"param{lr_mult:1}param{lr_mult:2}}# end',
        'layer # 1\n{ # 2\r\nname : # 3\n"a" top\n:"b" top:"c" param{lr_mult:1}param[{lr_mult:2}]}',
    ],
)
def test_a_group_of_fields_may_be_written_in_many_ways(text: str) -> None:
    layer = {"name": "a", "top": ["b", "c"], "param": [{"lr_mult": 1}, {"lr_mult": 2}]}
    assert read(text) == Message("NetParameter", {"layer": [layer]})


def test_lists_may_be_empty_and_go_on() -> None:
    net = read("input_dim: [] input_dim: [1, 0x2] input_dim: 3 layer [] layer {} input_shape: []")
    assert net == Message("NetParameter", {"input_dim": [1, 2, 3], "layer": [{}]})


def test_all_types_of_fields_are_read() -> None:
    text = r"""
      net_param { layer { blobs { double_data: [1, -2.5e10] data: nan shape { dim: -1 } } } }
      test_iter: 5 base_lr: -.5f random_seed: -9223372036854775808 solver_mode: 0 debug_info: t
      net: "a" 'b' "\n" test_state { phase: TRAIN level: - 3 }
    """
    solver = read(text, "SolverParameter")
    blob = {"double_data": [1.0, -2.5e10], "data": [np.nan], "shape": {"dim": [-1]}}
    assert solver == Message(
        "SolverParameter",
        {
            "net_param": {"layer": [{"blobs": [blob]}]},
            "test_iter": [5],
            "base_lr": -0.5,
            "random_seed": -(2**63),
            "solver_mode": "CPU",
            "debug_info": True,
            "net": "ab\n",
            "test_state": [{"phase": "TRAIN", "level": -3}],
        },
    )


def test_messages_and_fields_know_their_places() -> None:
    net = read(
        'name: "n"\n  layer {\n    lrn_param {\n      alpha: 1 } top: "a"\n top: "b" }\nlayer{}'
    )
    layer = net["layer"][0]
    assert net.place("name") == "n:1:1"
    assert net.place("layer") == "n:2:3"
    assert [layer.place(), layer["lrn_param"].place(), net["layer"][1].place()] == [
        "n:2",
        "n:3",
        "n:6",
    ]
    assert layer.place("top") == "n:4:18"
    assert layer["lrn_param"].place("alpha") == "n:4:7"


@pytest.mark.parametrize(("value", "mode"), [("true", "CEIL"), ("0", "FLOOR")])
def test_ceil_mode_of_a_fork_is_read_as_round_mode(value: str, mode: str) -> None:
    pool = read(f"pool: AVE, ceil_mode: {value}; stride: 2", "PoolingParameter")
    assert pool == Message("PoolingParameter", {"pool": "AVE", "stride": 2, "round_mode": mode})
    assert pool.place("round_mode") == "n:1:12"


@pytest.mark.parametrize(
    "value",
    [
        ": 5",
        ': "a" "b"',
        ": -1.5",
        ": - inf;",
        "{ }",
        ": { a: 1 b < c: -2; d: [1, 2] > }",
        ": [1, 'a', x]",
        "[{ a: 1 }, { }],",
        ": []",
    ],
)
def test_unknown_fields_are_skipped_and_listed_where_that_is_allowed(value: str) -> None:
    unknown: list[str] = []
    net = read(f"layer {{ name: 'a'\n relu_parm {value} top: 't' }} other: 1", unknown=unknown)
    assert net == Message("NetParameter", {"layer": [{"name": "a", "top": ["t"]}]})
    skipped = "unknown field: layer (LayerParameter) has no field 'relu_parm'"
    assert unknown == [
        f"n:2:2: {skipped} (did you mean 'relu_param'?)",
        f"n:2:{len(value) + 24}: unknown field: NetParameter has no field 'other'",
    ]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("{ a: 1", r"n:1:3: this is not closed before the end of the text"),
        (": { a: [1 }", r"n:1:13: a value was expected, not '}'"),
        ("", r"n:1:3: a value was expected, not the end of the text"),
        (": }", r"n:1:5: a value was expected, not '}'"),
        (
            "{ " * (MAX_NESTING + 1),
            rf"n:1:{3 + 2 * MAX_NESTING}: groups of fields nest deeper than 100",
        ),
    ],
)
def test_an_unknown_field_that_makes_no_sense_is_refused(value: str, why: str) -> None:
    with pytest.raises(TextError, match=f"^{why}"):
        read(f"x {value}", unknown=[])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5", "1:1: '5' stands where a field's name was expected"),
        ("{}", "1:1: '{' stands where a field's name was expected"),
        ("name: 'a';;", "1:11: ';' stands where a field's name was expected"),
        ("name 'a'", "1:6: a : was expected after name, not \"'a'\""),
        ("name { }", "1:6: a : was expected after name, not '{'"),
        ("name:", "1:6: name takes a text in quotes, not the end of the text"),
        ("layer: 5", "1:8: layer is a group of fields; write layer { ... } instead of '5'"),
        ("layer", "1:6: layer is a group of fields; .* instead of the end of the text"),
        ("state [{}]", "1:7: state is a group of fields; .* instead of '\\['"),
        ("layer [{} {}]", "1:11: in this list , or \\] was expected, not '{'"),
        ("layer [{}, 5]", "1:12: layer is a group of fields"),
        ("input_dim: [1 2]", "1:15: in this list , or \\] was expected, not '2'"),
        ("input_dim: [1, ]", "1:16: input_dim takes an integer, not ']'"),
        ("force_backward: [true]", "1:17: force_backward takes true or false, not '\\['"),
        ("layer { name: 'a' >", "1:19: layer 'a': layer, opened at 1:7, ends with }, not >"),
        ("layer < name: 'a' }", "1:19: layer 'a': layer, opened at 1:7, ends with >, not }"),
        (
            "layer { clip_param { max: 1 } }",
            "1:20: clip_param must have min",
        ),
        (
            "layer { name: 'p' pooling_param { round_mode: CEIL ceil_mode: true } }",
            "1:52: layer 'p': ceil_mode and round_mode say the same; delete one",
        ),
        (
            "layer { name: 'p' pooling_param { ceil_mode true } }",
            "1:45: layer 'p': a : was expected after ceil_mode, not 'true'",
        ),
        (
            "layer { pooling_param { ceil_mode: true ceil_mode: true } }",
            "1:41: ceil_mode and round_mode say the same",
        ),
        (
            "name: 'n' layer { name: 'a' param { name: 'w' lr_mul: 1 } }",
            "1:47: layer 'a': param .ParamSpec. has no field 'lr_mul' .did you mean 'lr_mult'",
        ),
        ("layer { [a.b]: 1 }", "1:9: '\\[' stands where a field's name was expected"),
        ("layers { layer { layer { } } }", "1:18: layer .V0LayerParameter. has no field 'layer'"),
    ],
)
def test_what_breaks_the_grammar_is_refused_where_it_stands(text: str, why: str) -> None:
    with pytest.raises(TextError, match=f"^n:{why}"):
        read(text)


def test_a_field_of_an_outer_group_asks_for_the_brace_that_is_missing() -> None:
    text = 'layer {\n  name: "a"\n  lrn_param { alpha: 1\n}\nlayer { }'
    with pytest.raises(
        TextError,
        match=r"^n:5:1: layer 'a': layer \(LayerParameter\) has no field 'layer'; is a } missing "
        r"for the one at 1:7\?",
    ):
        read(text)


@pytest.mark.parametrize(
    ("name", "kind", "other"),
    [("base_lr", "NetParameter", "SolverParameter"), ("layer", "SolverParameter", "NetParameter")],
)
def test_a_solver_for_a_net_and_the_reverse_are_noticed(name: str, kind: str, other: str) -> None:
    with pytest.raises(TextError, match=f"{kind} has no field .*it is a field of a {other}: is"):
        read(f"{name}: 1", kind)


def test_more_layers_than_any_net_has_are_refused_at_the_first_too_many() -> None:
    assert len(read("layer{}\n" * MAX_LAYERS)["layer"]) == MAX_LAYERS
    for text in ("layer{}\n", "layers{}\n"):
        with pytest.raises(TextError, match=rf"^n:{MAX_LAYERS + 1}:1: .*more than 10000 layers"):
            read(text * (MAX_LAYERS + 1))
