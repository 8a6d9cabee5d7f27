"""The words of protobuf's text format, each with its line and column.

Source: Google's protobuf 3.21, src/google/protobuf/io/tokenizer.cc, with the options that
text_format.cc sets: `#` starts a comment, a string ends on its line. What differs: a byte order
mark is skipped, and columns count characters.
"""

import re
from typing import Final

from alexnet.text.message import Place, TextError

# Quantifiers are possessive: 100 MB without a closing quote must not be tried twice, nor remembered
# place by place.
_TOKEN: Final = re.compile(
    r"""(?:[ \t\r\n\v\f]++|\#[^\n]*+)*+
    (?:(?P<name>[A-Za-z_][A-Za-z0-9_]*+)
      |(?P<mark>[]\[{}<>:,;-])
      |(?P<number>\.?[0-9](?:[0-9A-DF-Za-df-z_.]++|[eE][+-]?+)*+)
      |(?P<string>"(?:[^"\\\n\0]++|\\[^\n\0])*+"|'(?:[^'\\\n\0]++|\\[^\n\0])*+')
    )?+""",
    re.VERBOSE,
)


class Tokens:
    """The words of a text one after the other: `kind` and `word` are the one being looked at.

    kind is "name", "mark", "number", "string", or "end" where the text ends.
    """

    def __init__(self, text: str, *, source: str = "") -> None:
        self.text, self.source = text.removeprefix("\ufeff"), source
        self.kind, self.word, self.start = "", "", 0
        self._end = 0
        self._known_to, self._known_line, self._known_start = 0, 1, 0
        self.step()

    def step(self) -> None:
        """Look at the next word.

        Raises: TextError if there is a string without an end, or a letter of no word.
        """
        found = _TOKEN.match(self.text, self._end)
        assert found is not None  # everything in the pattern may be left out
        if found.lastgroup is None:
            self._end = self.start = found.end()
            if self.start < len(self.text):
                raise self._strange()
            self.kind, self.word = "end", ""
            return
        self.kind = found.lastgroup
        self.word = found[self.kind]
        self._end = found.end()
        self.start = self._end - len(self.word)

    def take(self, marks: str) -> str:
        """Step over one of some marks and return it, or return "" where another word stands."""
        if self.kind != "mark" or self.word not in marks:
            return ""
        mark = self.word
        self.step()
        return mark

    def place(self, start: int) -> Place:
        """Return line and column, from 1, of a place in the text.

        Places asked for in their order cost one pass over the text in all.
        """
        if start < self._known_to:
            self._known_to, self._known_line, self._known_start = 0, 1, 0
        lines = self.text.count("\n", self._known_to, start)
        if lines:
            self._known_line += lines
            self._known_start = self.text.rindex("\n", self._known_to, start) + 1
        self._known_to = start
        return self._known_line, start - self._known_start + 1

    def refuse(self, why: str, start: int | None = None) -> TextError:
        """Return an error about what stands at `start`, or about the word being looked at."""
        line, column = self.place(self.start if start is None else start)
        return TextError(f"{self.source}{':' if self.source else ''}{line}:{column}: {why}")

    def seen(self) -> str:
        """Return the word being looked at as an error names it."""
        return clipped(self.word) if self.word else "the end of the text"

    def _strange(self) -> TextError:
        letter = self.text[self.start]
        if letter not in "\"'":
            return self.refuse(f"{letter!a} is no part of a prototxt")
        return self.refuse(f"the string that starts here has no closing {letter} on its line")


def clipped(word: str) -> str:
    """Return a word of a text for an error: in quotes, and cut where it is long."""
    return repr(word if len(word) <= 60 else f"{word[:57]}...")
