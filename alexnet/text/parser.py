"""The grammar of protobuf's text format: fields, groups of fields and lists, into messages.

Source: Google's protobuf 3.21, src/google/protobuf/text_format.cc, as BVLC Caffe calls it. Texts
are taken and refused as there, but for this: an error names the layer and the nearest known name;
extensions and Any are not known; `ceil_mode` of pooling, a field of DenseNet's fork, is read as
`round_mode`; a text has at most MAX_LAYERS layers.
"""

from dataclasses import dataclass
from typing import Final

from alexnet.nearest import nearest
from alexnet.text.lexer import Tokens, clipped
from alexnet.text.message import Message, TextError
from alexnet.text.scalars import scalar
from alexnet.text.schema import MESSAGES, Field

MAX_LAYERS: Final = 10_000
WAY_OUT: Final = "`alexnet caffe upgrade --allow-unknown OLD NEW` leaves out what is not known"
"""More than any net has: ResNet-1001 has about 3,500."""
MAX_NESTING: Final = 100
"""How deep an unknown field may nest; Caffe's own fields go no deeper than seven."""
_CEIL_MODE: Final = Field("ceil_mode", 0, "bool", False, False, None, False)
_REQUIRED: Final = {
    kind: [name for name, field in fields.items() if field.required]
    for kind, fields in MESSAGES.items()
}
_CLOSERS: Final = {"{": "}", "<": ">", "[": "]"}


@dataclass(slots=True)
class _Open:
    """A message that is being read."""

    message: Message
    name: str
    """The field that it is in."""
    closer: str
    start: int
    """Where its opening brace stands."""
    listed: bool
    """Whether it is one of a list, [{ }, { }]."""


class Parser:
    """Reads without recursion, so that no text can exhaust the stack."""

    def __init__(self, tokens: Tokens, allow_unknown: list[str] | None) -> None:
        self.tokens = tokens
        self.unknown = allow_unknown
        self.open: list[_Open] = []
        self.layers = 0

    def read(self, kind: str) -> Message:
        tokens = self.tokens
        root = Message(kind)
        root.source = tokens.source
        self.open.append(_Open(root, kind, "", 0, False))
        while True:
            if tokens.kind == "name":
                self.field(self.open[-1].message)
            elif tokens.kind == "end":
                if len(self.open) > 1:
                    raise self.unclosed()
                return root
            elif tokens.kind == "mark" and tokens.word in "}>":
                self.close()
            else:
                raise self.refuse(f"{tokens.seen()} stands where a field's name was expected")

    def refuse(self, why: str, start: int | None = None) -> TextError:
        """Return an error that names the layer it is in."""
        names = (each.message.named() for each in reversed(self.open))
        return self.tokens.refuse(next(filter(None, names), "") + why, start)

    def unclosed(self) -> TextError:
        top = self.open[-1]
        opener = "{" if top.closer == "}" else "<"
        why = f"the {opener} of {top.name} is not closed before the end of the text"
        return self.refuse(why, top.start)

    def field(self, message: Message) -> None:
        """Read a field's name, and its value unless that is a message."""
        tokens = self.tokens
        name, start = tokens.word, tokens.start
        field = message.fields.get(name)
        tokens.step()
        if field is None:
            if name == "ceil_mode" and message.kind == "PoolingParameter":
                self.ceil_mode(message, start)
            elif self.unknown is None:
                why = self.no_field(name)
                hint = f"; {WAY_OUT}" if why.endswith(clipped(name)) else ""
                raise self.refuse(why + hint, start)
            else:
                line, column = tokens.place(start)
                source = f"{tokens.source}:" if tokens.source else ""
                self.unknown.append(
                    f"{source}{line}:{column}: unknown field: {self.no_field(name)}"
                )
                self.skip_value()
            return
        if name in message:
            if not field.repeated:
                raise self.refuse(
                    f"{name} stands twice in one {self.open[-1].name}; the first is at"
                    f" {message.place(name)}",
                    start,
                )
        else:
            message.mark(name, tokens.place(start))
        if field.type in MESSAGES:
            self.open_message(field, start)
        else:
            self.values(message, field)
            tokens.take(",;")

    def no_field(self, name: str) -> str:
        top = self.open[-1]
        kind = "" if top.name == top.message.kind else f" ({top.message.kind})"
        why = f"{top.name}{kind} has no field {clipped(name)}"
        for outer in reversed(self.open[:-1]):
            if name in outer.message.fields:
                line, column = self.tokens.place(top.start)
                return f"{why}; is a }} missing for the one at {line}:{column}?"
        for other in ("NetParameter", "SolverParameter"):
            if name in MESSAGES[other] and not self.open[1:]:
                return f"{why}; it is a field of a {other}: is this the file you mean?"
        return why + nearest(name[:100], top.message.fields)

    def ceil_mode(self, message: Message, start: int) -> None:
        if "round_mode" in message:
            raise self.refuse("ceil_mode and round_mode say the same; delete one", start)
        message.mark("round_mode", self.tokens.place(start))
        self.colon("ceil_mode")
        self.put(message, _CEIL_MODE)
        self.tokens.take(",;")

    def open_message(self, field: Field, start: int, *, listed: bool = False) -> None:
        """Begin the message in a field; its fields are read next."""
        tokens = self.tokens
        if field.name in ("layer", "layers") and self.open[-1].message.kind == "NetParameter":
            self.layers += 1
            if self.layers > MAX_LAYERS:
                raise self.refuse(f"there are more than {MAX_LAYERS} layers", start)
        if not listed:
            tokens.take(":")
            listed = field.repeated and bool(tokens.take("["))
            if listed and tokens.take("]"):
                tokens.take(",;")
                return
        opened_at = tokens.start
        opener = tokens.take("{<")
        if not opener:
            raise self.refuse(
                f"{field.name} is a group of fields; write {field.name} {{ ... }} instead of"
                f" {tokens.seen()}"
            )
        outer = self.open[-1].message
        if field.repeated:
            inner = outer.add(field.name)
        else:
            outer[field.name] = inner = Message(field.type)
        inner.source, inner.line = tokens.source, tokens.place(start)[0]
        self.open.append(_Open(inner, field.name, _CLOSERS[opener], opened_at, listed))

    def close(self) -> None:
        """End the message being read."""
        tokens, top = self.tokens, self.open[-1]
        if not top.closer:
            raise self.refuse(f"this {tokens.word} closes nothing")
        if tokens.word != top.closer:
            line, column = tokens.place(top.start)
            raise self.refuse(
                f"{top.name}, opened at {line}:{column}, ends with {top.closer}, not {tokens.word}"
            )
        for name in _REQUIRED[top.message.kind]:
            if name not in top.message:
                raise self.refuse(f"{top.name} must have {name}", top.start)
        tokens.step()
        self.open.pop()
        if top.listed and not tokens.take("]"):
            self.comma()
            field = self.open[-1].message.field(top.name)
            self.open_message(field, tokens.start, listed=True)
        else:
            tokens.take(",;")

    def colon(self, name: str) -> None:
        if not self.tokens.take(":"):
            raise self.refuse(f"a : was expected after {name}, not {self.tokens.seen()}")

    def values(self, message: Message, field: Field) -> None:
        """Read a scalar, or the scalars of a list."""
        tokens = self.tokens
        self.colon(field.name)
        if not field.repeated or not tokens.take("["):
            self.put(message, field)
        elif not tokens.take("]"):
            self.put(message, field)
            while not tokens.take("]"):
                self.comma()
                self.put(message, field)

    def comma(self) -> None:
        if not self.tokens.take(","):
            raise self.refuse(f"in this list , or ] was expected, not {self.tokens.seen()}")

    def put(self, message: Message, field: Field) -> None:
        """Read one scalar into a field."""
        start = self.tokens.start
        negative = bool(self.tokens.take("-"))
        kind, words = self.words()
        try:
            value = scalar(field, kind, words, negative=negative)
        except TextError as error:
            raise self.refuse(str(error), start) from None
        if field is _CEIL_MODE:
            message["round_mode"] = "CEIL" if value else "FLOOR"
        elif field.repeated:
            message.append(field.name, value)
        else:
            message[field.name] = value

    def words(self) -> tuple[str, list[str]]:
        """Step over a word, or over strings that stand side by side."""
        tokens = self.tokens
        kind, words = tokens.kind, [tokens.word]
        if kind in ("mark", "end"):
            return kind, words
        tokens.step()
        while kind == tokens.kind == "string":
            words.append(tokens.word)
            tokens.step()
        return kind, words

    def skip_value(self) -> None:
        """Step over the value of an unknown field, whatever it is."""
        tokens = self.tokens
        tokens.take(":")
        closers: list[tuple[str, int]] = []
        while True:
            start = tokens.start
            if opener := tokens.take("{<["):
                closers.append((_CLOSERS[opener], start))
                if len(closers) > MAX_NESTING:
                    raise self.refuse(f"groups of fields nest deeper than {MAX_NESTING}", start)
            elif closers and tokens.take(closers[-1][0]):
                closers.pop()
            elif closers and tokens.kind == "end":
                raise self.refuse("this is not closed before the end of the text", closers[-1][1])
            elif closers and tokens.take(":,;-"):
                continue
            else:
                tokens.take("-")
                if self.words()[0] in ("mark", "end"):
                    raise self.refuse(f"a value was expected, not {tokens.seen()}")
            if not closers:
                break
        tokens.take(",;")
