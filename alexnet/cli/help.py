"""Help on the terminal: what docstrings say, broken anew for its width."""

from typing import TYPE_CHECKING

from cyclopts.help import DefaultFormatter, InlineText

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions


class FlowingHelp(DefaultFormatter):
    """The default panels, with the lines of a docstring joined: they were broken for the source."""

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        """Print a panel."""
        from rich.text import Text

        for entry in panel.entries:
            if isinstance(entry.description, InlineText):
                shown = entry.description.primary_renderable
                if isinstance(shown, Text):
                    shown.plain = " ".join(shown.plain.split())
        super().__call__(console, options, panel)
