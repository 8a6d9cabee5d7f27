"""`alexnet explain`: what an exit code means, what leads to it and what to do."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from alexnet.cli.exit_codes import EXIT_CODES, explain
from alexnet.cli.options import Json
from alexnet.cli.tables import print_json, print_table


def show(
    code: Annotated[str, Parameter(allow_leading_hyphen=True)] = "", *, as_json: Json = False
) -> int:
    """Say what an exit code of alexnet means, what usually leads to it, and what to do.

    In a shell, echo $? prints the code of the last command: alexnet explain $?

    Parameters
    ----------
    code
        A number such as 3, 75 or 137, or a signal such as SIGKILL; all codes if not given.
    """
    if not code:
        _show_all(as_json)
        return 0
    number, found = explain(code)
    if as_json:
        print_json({"code": number} | asdict(found))
        return 0
    print(f"{number}: {found.name}\n{found.meaning}")
    for title, lines in (("likely", found.causes), ("to do", found.advice)):
        print(f"\n{title}:")
        for line in lines:
            print(f"  {line}")
    return 0


def _show_all(as_json: bool) -> None:
    if as_json:
        print_json([{"code": number} | asdict(each) for number, each in EXIT_CODES.items()])
        return
    rows = [(str(number), each.name, each.meaning) for number, each in EXIT_CODES.items()]
    print_table(("code", "name", "what it says"), rows, left=3)
    print(
        "\n128 + N: ended by signal N, such as 137 by SIGKILL. More of each: alexnet explain CODE"
    )
