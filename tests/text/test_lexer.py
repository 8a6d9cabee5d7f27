import pytest

from alexnet.text.lexer import Tokens, clipped
from alexnet.text.message import TextError


def words(text: str) -> list[tuple[str, str]]:
    tokens = Tokens(text)
    found = []
    while tokens.kind != "end":
        found.append((tokens.kind, tokens.word))
        tokens.step()
    return found


def test_words_are_names_marks_numbers_and_strings() -> None:
    assert words('a_1: -1.5e-3 ["b#", \'c"d\'] # e\n{0x1F;.5f<>}') == [
        ("name", "a_1"),
        ("mark", ":"),
        ("mark", "-"),
        ("number", "1.5e-3"),
        ("mark", "["),
        ("string", '"b#"'),
        ("mark", ","),
        ("string", "'c\"d'"),
        ("mark", "]"),
        ("mark", "{"),
        ("number", "0x1F"),
        ("mark", ";"),
        ("number", ".5f"),
        ("mark", "<"),
        ("mark", ">"),
        ("mark", "}"),
    ]


def test_a_text_without_words_is_at_its_end_at_once() -> None:
    for text in ("", " \t\r\n\v\f", "# only a comment", "\ufeff"):
        assert words(text) == []
        assert Tokens(text).seen() == "the end of the text"


def test_escaped_quotes_do_not_end_a_string() -> None:
    assert words(r'"a\"b\\" c') == [("string", r'"a\"b\\"'), ("name", "c")]


def test_a_mark_is_taken_only_where_it_stands() -> None:
    tokens = Tokens("a ; b")
    assert tokens.take(";") == ""
    tokens.step()
    assert tokens.take(",") == ""
    assert tokens.take(",;") == ";"
    assert tokens.word == "b"


def test_lines_and_columns_count_from_one_in_any_order() -> None:
    text = "ab\n\n  cd\r\ne"
    tokens = Tokens(text)
    assert [tokens.place(i) for i in (0, 1, 3, 6, 7, 10)] == [
        (1, 1),
        (1, 2),
        (2, 1),
        (3, 3),
        (3, 4),
        (4, 1),
    ]
    assert tokens.place(1) == (1, 2)


def test_errors_start_with_the_place() -> None:
    tokens = Tokens("ab\n cd", source="net.prototxt")
    tokens.step()
    assert str(tokens.refuse("no")) == "net.prototxt:2:2: no"
    assert str(tokens.refuse("no", 0)) == "net.prototxt:1:1: no"
    assert str(Tokens("x").refuse("no")) == "1:1: no"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name: 'a\nb'", r"1:7: the string that starts here has no closing ' on its line"),
        ('\n "a\\"', r'2:2: the string that starts here has no closing "'),
        ('"a\\\nb"', r'1:1: the string that starts here has no closing "'),
        ('"a\0b"', r'1:1: the string that starts here has no closing "'),
        ("a: \u00e9", r"1:4: '\\xe9' is no part of a prototxt"),
        ("a: @", r"1:4: '@' is no part of a prototxt"),
        ("a: /* b */ 1", r"1:4: '/' is no part of a prototxt"),
    ],
)
def test_what_is_no_word_is_refused_where_it_stands(text: str, why: str) -> None:
    with pytest.raises(TextError, match=f"^{why}"):
        words(text)


def test_a_long_word_is_cut_in_errors() -> None:
    assert clipped("a" * 60) == repr("a" * 60)
    assert clipped("a" * 61) == repr("a" * 57 + "...")
