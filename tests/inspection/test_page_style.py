"""The style is whole: every colour has a light, a dark and a printed form."""

import re

from alexnet.inspection.html import COLOURS
from alexnet.inspection.page_style import STYLE


def test_every_colour_is_defined_for_light_dark_and_paper() -> None:
    roots = re.findall(r":root \{([^}]*)\}", STYLE)
    assert len(roots) == 3
    defined = [set(re.findall(r"(--\w+):", root)) for root in roots]
    used = set(re.findall(r"var\((--\w+)\)", STYLE + " ".join(COLOURS.values())))
    assert used <= defined[0]
    assert defined[0] == defined[1] == defined[2]


def test_braces_close_and_nothing_is_fetched() -> None:
    assert STYLE.count("{") == STYLE.count("}")
    assert not re.search(r"url\(|@import|@font-face|</", STYLE)


def test_letters_stand_out_from_paper() -> None:
    for root in re.findall(r":root \{([^}]*)\}", STYLE):
        colours = dict(re.findall(r"--(\w+): (#\w{6})", root))
        paper = _luminance(colours["paper"])
        for name in ("ink", "muted", "link", "orange"):
            low, high = sorted((paper, _luminance(colours[name])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, name  # WCAG 2, level AA


def _luminance(colour: str) -> float:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
