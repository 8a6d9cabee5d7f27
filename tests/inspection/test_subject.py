"""What figures are drawn of: pictures spread over a set, as the net sees them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data.augment import Preprocessing
from alexnet.data.folder import list_folder
from alexnet.data.image import ImageError
from alexnet.data.statistics import Statistics
from alexnet.inspection.subject import Subject
from alexnet.model import create
from tests.conftest import MakePictures

pytestmark = pytest.mark.usefixtures("tiny_net")


def subject_of(folder: Path) -> Subject:
    tested = list_folder(folder)
    statistics = Statistics(torch.zeros(71, 71, 3), torch.zeros(3), torch.ones(3), torch.eye(3))
    preprocessing = Preprocessing(statistics, 71, 67, "none")
    model = create("tiny", tested.classes, preprocessing, seed=0)
    model.net.eval()
    return Subject("a net", Path(), model, tested, most=4)


def test_a_sample_is_spread_over_the_set_and_leaves_bad_pictures_out(
    pictures: MakePictures,
) -> None:
    folder = pictures(classes=("a", "b"), per_class=4)
    subject = subject_of(folder)
    assert subject.looked_through.places == (0, 2, 5, 7)
    assert subject.looked_through.labels == (0, 0, 1, 1)
    assert subject.looked_through is subject.looked_through
    assert subject.shown(99).places == tuple(range(8))
    (folder / "a" / "0002.jpg").write_bytes(b"no picture")
    assert subject_of(folder).looked_through.places == (0, 5, 7)


def test_a_set_of_which_nothing_can_be_read_is_refused(pictures: MakePictures) -> None:
    folder = pictures(classes=("a", "b"), per_class=1)
    for file in folder.glob("*/*"):
        file.write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"no picture can be read; the last is b/0000\.jpg: "):
        subject_of(folder).shown(2)


def test_the_window_is_the_centre_and_what_the_net_gets(pictures: MakePictures) -> None:
    subject = subject_of(pictures(classes=("a", "b"), per_class=2))
    sample = subject.shown(3)
    windows = np.stack([subject.window(each) for each in sample.pictures])
    np.testing.assert_array_equal(windows, sample.pictures[:, 2:69, 2:69].numpy())
    x = subject.inputs(sample.pictures)
    np.testing.assert_allclose(x.permute(0, 2, 3, 1).numpy(), windows, atol=1e-3)
    with torch.no_grad():
        wanted = subject.model.net(x).softmax(1)
    torch.testing.assert_close(subject.answer(sample.pictures), wanted, rtol=1e-4, atol=1e-6)


def test_the_layer_of_units_is_the_last_with_maps_or_the_one_named(
    pictures: MakePictures,
) -> None:
    subject = subject_of(pictures(classes=("a", "b"), per_class=1))
    assert subject.unit_layer() == "relu5"
    named = Subject("a net", Path(), subject.model, layer="features.6")
    assert named.unit_layer() == "conv3"
    wrong = Subject("a net", Path(), subject.model, layer="conv7")
    with pytest.raises(ValueError, match=r"no layer is called 'conv7' \(did you mean 'conv"):
        wrong.unit_layer()
