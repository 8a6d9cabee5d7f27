"""Files of Caffe's early years written anew in today's form.

Source: Caffe, tools/upgrade_net_proto_text.cpp, upgrade_net_proto_binary.cpp and
upgrade_solver_proto_text.cpp; one command here, since a file says itself whether it is text.
"""

from pathlib import Path

from alexnet.store import write_atomically
from alexnet.text import prototxt, wire
from alexnet.text.message import Message
from alexnet.text.upgrade import upgrade_net, upgrade_notes, upgrade_solver

BINARY = (".caffemodel", ".binaryproto")


def upgrade_file(
    source: Path, target: Path, *, solver: bool = False, allow_unknown: bool = False
) -> list[str]:
    """Read a net or a solver, write it upgraded, and return what was changed.

    `allow_unknown` leaves out the fields of a prototxt that Caffe does not know, such as a fork's,
    and returns them among the changes.

    Raises: TextError if the file is refused; OSError if the target cannot be written.
    """
    left_out: list[str] = []
    unknown = left_out if allow_unknown else None
    if solver:
        old = prototxt.load(source, "SolverParameter", allow_unknown=unknown)
        new = upgrade_solver(old)
        _write_text(target, new)
        return left_out + ([] if new == old else ["the solver is written as one of Caffe 1.0"])
    binary = source.suffix in BINARY
    if binary:
        old = wire.load(source, "NetParameter", unknown=unknown)
    else:
        old = prototxt.load(source, "NetParameter", allow_unknown=unknown)
    new = upgrade_net(old)
    if binary:
        write_atomically(target, wire.encode(new))
    else:
        _write_text(target, new)
    return left_out + upgrade_notes(old)


def _write_text(target: Path, message: Message) -> None:
    write_atomically(target, prototxt.print_text(message).encode("utf-8", "surrogateescape"))
