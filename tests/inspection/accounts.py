"""Accounts of runs that never were, and a check that a page is whole."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser

import numpy as np
import torch

from alexnet.evaluation.metrics import Counts
from alexnet.evaluation.submission import Mistake
from alexnet.inspection.account import Account, FirstKernels, Ledger, Measured, Setting, Wrong

HOSTILE = "<script>alert(1)</script>"
VOID = {"meta", "link", "img", "br"}


def counts_of(classes: Sequence[str], each: int = 10) -> Counts:
    """Count `each` pictures of every class, of the k-th of which k % each go to the next class."""
    counts = Counts(tuple(classes))
    for label in range(len(classes)):
        wrong = label % each
        counts.confusion[label, label] = each - wrong
        counts.confusion[label, (label + 1) % len(classes)] += wrong
    counts.top5_errors = counts.top1_errors // 2
    return counts


def account_of(classes: Sequence[str], *, gray: bool = False) -> Account:
    """Return an account with everything in it."""
    generator = torch.Generator().manual_seed(0)
    kernels = torch.randn(8, 1 if gray else 3, 5, 5, generator=generator)
    image = np.zeros((28, 28, 3) if gray else (80, 80, 3), np.uint8)
    mistake = Mistake(f"{classes[0]}/a&b.jpg", classes[0], classes[-1], 0.9, 0.05)
    train = [{"kind": "train", "step": n, "epoch": n / 9, "loss": 2.0, "lr": 0.1} for n in (3, 9)]
    validation = {"kind": "validation", "step": 9, "loss": 1.5, "top1_error": 0.25}
    line = {"kind": "epoch", "step": 9, "epoch": 1.0, "listed": 70, "used": 69, "refused": 1}
    return Account(
        name="a run",
        folder="/somewhere/runs/a run",
        state="The run has finished: 9 updates.",
        facts=(("net", "tiny"),),
        net="tiny",
        data="/somewhere/photos",
        classes=tuple(classes),
        recipe_name="quick",
        settings=(
            Setting("epochs", "9", "24", "Passes over the training pictures."),
            Setting("keep_model", "best", "last", "The model that a run leaves."),
            Setting("lr", "0.004", "0.004", "Learning rate."),
        ),
        journal=[*train, validation, line],
        measured=(Measured(counts_of(classes), "validation pictures of /somewhere/photos"),),
        wrong=(Wrong(mistake, image),),
        kernels=FirstKernels("conv1", kernels, 2),
        ledger=Ledger((line,), {f"{HOSTILE}.jpg": "not a picture"}, ("2 new",), (("split", "x"),)),
        environment=(("machine", "an abacus"),),
        commands=(("Again:", "alexnet train 'a b' --recipe quick"),),
        repeats="Bit for bit.",
        left_out=("nothing much",),
    )


class Page(HTMLParser):
    """What a page is made of; tags that are not closed in turn are an error."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.text = data.decode()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(self.text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"{tag} at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every tag of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def said(self) -> str:
        """Return the page's words with single spaces."""
        return re.sub(r"\s+", " ", " ".join(self.words).replace("\u202f", " "))


def whole(data: bytes) -> Page:
    """Check that a page stands alone and can be read by all; return its parts."""
    page = Page(data)
    assert not page.all("script")
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "xlink:href"):
            address = attributes.get(name) or "#"
            assert address.startswith(("data:", "#")), address
    assert "url(http" not in page.text
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(each["href"])[1:] for each in page.all("a")]
    assert set(links) <= set(ids)
    assert links == [each["id"] for each in page.all("section")]
    assert all(each.get("alt") for each in page.all("img"))
    assert all(each.get("scope") in ("row", "col") for each in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert len(page.all("h1")) == 1
    return page
