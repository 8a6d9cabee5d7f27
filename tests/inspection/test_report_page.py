"""The report as a page: whole, safe, and saying what it lacks."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from alexnet.inspection.account import Account, Ledger
from alexnet.inspection.report_page import kernel_sheet, make_page, thin
from tests.inspection.accounts import HOSTILE, account_of, whole

SECTIONS = [
    *("recipe", "curves", "errors", "classes", "confusion", "mistakes", "kernels"),
    *("data", "environment", "again", "left-out"),
]


@pytest.mark.parametrize(("count", "gray"), [(2, True), (10, False), (1000, False)])
def test_the_page_is_whole_for_any_number_of_classes(count: int, gray: bool) -> None:
    pytest.importorskip("matplotlib")
    names = [HOSTILE, *(f"class {n}" for n in range(1, count))]
    data = make_page(account_of(names, gray=gray))
    page = whole(data)
    assert [each["id"] for each in page.all("section")] == SECTIONS
    assert page.said().count(HOSTILE) >= 3
    assert len(data) < 2_000_000
    said = page.said()
    assert "In 2 fields the run differs from --recipe quick" in said
    assert "All 3 fields" in said
    assert "alexnet train 'a b' --recipe quick" in said
    assert ("specialised in colour" in said) == (not gray)
    shown = [each for each in page.all("img") if str(each["alt"]).startswith("Confusion matrix")]
    assert len(shown) == (count == 1000)  # few classes have a table of numbers


def test_a_run_that_has_hardly_begun_has_a_page() -> None:
    begun = Account(name="new", folder="new", state="Begun.", facts=(), net="tiny", data="")
    page = whole(make_page(replace(begun, recipe_name="paper", left_out=("errors: none",))))
    assert [each["id"] for each in page.all("section")] == [
        *("recipe", "data", "environment", "again", "left-out")
    ]
    said = page.said()
    assert "No error is measured yet." in said
    assert "tiny on data that are not named" in said
    assert "The run has --recipe paper as it is." in said
    assert "No picture is known that could not be read." in said


def test_long_tables_are_folded() -> None:
    pytest.importorskip("matplotlib")
    lines = tuple({"kind": "epoch", "step": n, "epoch": float(n), "listed": 7} for n in range(20))
    bad = {f"{n}.jpg": "torn" for n in range(13)}
    tests = [{"kind": "validation", "step": n, "top1_error": 0.5} for n in range(1, 14)]
    account = replace(account_of(["a", "b"]), ledger=Ledger(lines, bad), journal=tests)
    page = whole(make_page(account))
    folded = [word for word in page.words if word.startswith(("All ", "Pictures that"))]
    assert folded == [
        *("All 3 fields", "All 13 validations", "All 20 lines"),
        *("Pictures that could not be read: 13", "Pictures that could not be read: 13"),
    ]


def test_long_curves_are_thinned_to_means() -> None:
    lines = [{"kind": "train", "step": n, "loss": float(n)} for n in range(100)]
    test = {"kind": "validation", "step": 50, "loss": 1.0}
    thinned = thin([*lines, test], most=10)
    assert test in thinned
    losses = [line["loss"] for line in thinned if line["kind"] == "train"]
    assert losses == [4.5 + 10 * n for n in range(10)]
    assert [line["step"] for line in thinned] == sorted(line["step"] for line in thinned)
    assert thin(lines, most=100) == lines


def test_kernels_stand_on_nothing() -> None:
    images = [np.full((5, 5, 3), n, np.uint8) for n in range(13)]
    sheet = kernel_sheet(images)
    assert sheet.shape == (2 * 45 + 4, 12 * 49 - 4, 4)
    assert (sheet[:45, 49:94] == (1, 1, 1, 255)).all()
    assert (sheet[49:, :45] == (12, 12, 12, 255)).all()
    assert not sheet[45:49, :, 3].any()
    assert not sheet[49:, 49:, 3].any()


def test_the_kernels_of_the_page_are_those_of_the_net() -> None:
    account = replace(account_of(["a", "b"]), journal=())
    assert account.kernels is not None
    page = whole(make_page(account))
    sheets = [str(each["src"]) for each in page.all("img") if "kernels of" in str(each["alt"])]
    data = base64.b64decode(sheets[0].partition(",")[2])
    found = np.asarray(Image.open(io.BytesIO(data)))[::9, ::9][:5, :5, :3].astype(int)
    kernel = account.kernels.kernels[0].permute(1, 2, 0).numpy()
    expected = 127.5 + 127.5 * kernel / abs(kernel).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.51)  # rounded to bytes
