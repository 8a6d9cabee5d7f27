"""Nearest neighbours against numpy's, and the sheet that shows them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.inspection import similar
from alexnet.inspection.similar import (
    CELL,
    MARGIN,
    Metric,
    Nearest,
    Shown,
    check_sheet,
    pieces,
    write_sheet,
)


def draw(rows: int, columns: int = 9) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_nearest_are_those_of_the_definition_whatever_the_pieces(metric: Metric) -> None:
    rows, query = draw(50), draw(1)[0]
    f, q = rows.double().numpy(), query.double().numpy()
    if metric == "euclidean":
        distances = np.sqrt(((f - q) ** 2).sum(1))
    else:
        distances = 1 - f @ q / (np.linalg.norm(f, axis=1) * np.linalg.norm(q))
    order = np.argsort(distances)[:7]
    for step in (1, 13, 50):
        nearest = Nearest(query, top=7, metric=metric)
        for start in range(0, 50, step):
            indices = torch.arange(start, min(start + step, 50))
            nearest.add(rows[indices], indices)
        found = nearest.found()
        assert [each.index for each in found] == order.tolist()
        np.testing.assert_allclose([x.distance for x in found], distances[order], rtol=1e-5)


def test_of_equal_distances_the_first_goes_first_and_few_rows_give_few_neighbours() -> None:
    nearest = Nearest(torch.zeros(2), top=5)
    nearest.add(torch.tensor([[3.0, 4.0], [5.0, 0.0]]), torch.tensor([0, 1]))
    nearest.add(torch.tensor([[0.0, 5.0], [0.0, 1.0]]), torch.tensor([2, 3]))
    found = [(each.index, each.distance) for each in nearest.found()]
    assert found == [(3, 1.0), (0, 5.0), (1, 5.0), (2, 5.0)]


def test_the_cosine_of_nothing_is_one_away_and_of_like_rows_does_not_cancel() -> None:
    nearest = Nearest(torch.tensor([1.0, 0.0]), top=3, metric="cosine")
    nearest.add(torch.tensor([[0.0, 0.0], [2.0, 2e-5]]), torch.tensor([0, 1]))
    found = {each.index: each.distance for each in nearest.found()}
    assert found == {0: 1.0, 1: pytest.approx(5e-11, rel=1e-3)}  # angle 1e-5, squared, halved
    nothing = Nearest(torch.zeros(2), top=1, metric="cosine")
    nothing.add(torch.ones(1, 2), torch.tensor([4]))
    assert [(each.index, each.distance) for each in nothing.found()] == [(4, 1.0)]


def test_pieces_of_a_matrix_on_disk_are_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = draw(11, 3).numpy()
    np.save(tmp_path / "m.npy", matrix)
    monkeypatch.setattr(similar, "CHUNK_BYTES", 4 * matrix[:1].nbytes)
    parts = list(pieces(np.load(tmp_path / "m.npy", mmap_mode="r")))
    assert [indices.tolist() for _, indices in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    np.testing.assert_array_equal(torch.cat([rows for rows, _ in parts]).numpy(), matrix)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_sheet_shows_each_picture_in_its_cell(suffix: str, tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    shapes = [(60, 60), (40, 80), (500, 30)]
    shown = [
        Shown(np.full((*shape, 3), colour, np.uint8), ("a name longer than a picture " * 2,))
        for shape, colour in zip(shapes, colours, strict=True)
    ]
    path = tmp_path / f"page{suffix}"
    write_sheet(path, shown, columns=2)
    with Image.open(path) as image:
        sheet = np.asarray(image.convert("RGB")).astype(int)
    step = CELL + MARGIN
    rows = (len(sheet) - MARGIN) // 2
    for number, colour in enumerate(colours):
        row, column = divmod(number, 2)
        y, x = MARGIN + row * rows + CELL // 2, MARGIN + column * step + CELL // 2
        assert abs(sheet[y, x] - colour).max() < 20
    assert (sheet[-5, -5] > 240).all()
    assert (sheet[MARGIN + CELL + MARGIN : MARGIN + CELL + MARGIN + 15] < 100).any()  # the names


def test_a_sheet_of_another_kind_or_without_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"suffix '\.gif' is none of \.png, \.jpg, \.webp; the "):
        check_sheet(tmp_path / "page.gif")
    with pytest.raises(FileNotFoundError, match="gone does not exist; make the folder first"):
        check_sheet(tmp_path / "gone" / "page.png")
