from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from alexnet.text.blobs import save_mean
from alexnet.text.message import Message, TextError
from alexnet.text.transform import Picture, Transform, read_transform, stream

RANDOM = np.random.default_rng(3)
PICTURES = [RANDOM.integers(0, 256, (3, 7, 9), dtype=np.uint8) for _ in range(5)]
MEAN = RANDOM.random((3, 7, 9), dtype=np.float32) * 255


def oracle(
    picture: Picture, transform: Transform, top: int, left: int, *, mirrored: bool
) -> NDArray[np.float32]:
    """Transform number by number, as data_transformer.cpp is written."""
    side = transform.crop_size
    height, width = (side, side) if side else picture.shape[1:]
    result = np.empty((len(picture), height, width), np.float32)
    for c in range(len(picture)):
        for h in range(height):
            for w in range(width):
                value = np.float32(picture[c, top + h, left + w])
                if transform.mean is not None:
                    value -= transform.mean[c, top + h, left + w]
                elif transform.mean_values is not None:
                    value -= transform.mean_values[c % len(transform.mean_values)]
                place = width - 1 - w if mirrored else w
                result[c, h, place] = value * np.float32(transform.scale)
    return result


def apply(transform: Transform, pictures: list[Picture], seed: int = 0) -> NDArray[np.float32]:
    names = [f"picture {number}" for number in range(len(pictures))]
    return transform.apply(pictures, names, random=np.random.default_rng(seed))


@pytest.mark.parametrize(
    "transform",
    [
        Transform(),
        Transform(scale=0.00390625),
        Transform(scale=0.3, crop_size=4, mean=MEAN),
        Transform(crop_size=5, mean_values=np.array([104, 117.5, 123], np.float32)),
        Transform(mean_values=np.array([127.3], np.float32)),
    ],
)
def test_the_centre_is_cut_the_mean_subtracted_and_the_rest_scaled(transform: Transform) -> None:
    side = transform.crop_size
    top, left = ((7 - side) // 2, (9 - side) // 2) if side else (0, 0)
    wanted = [oracle(p, transform, top, left, mirrored=False) for p in PICTURES]
    np.testing.assert_array_equal(apply(transform, list(PICTURES)), wanted)


def test_pictures_of_floats_are_transformed_alike() -> None:
    picture = RANDOM.standard_normal((2, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(apply(Transform(scale=2.0), [picture])[0], picture * 2)


@pytest.mark.parametrize("mean", [None, MEAN])
def test_training_cuts_everywhere_equally_often_and_mirrors_one_half(
    mean: NDArray[np.float32] | None,
) -> None:
    transform = Transform(crop_size=5, mirror=True, anywhere=True, mean=mean, scale=0.5)
    pictures: list[Picture] = [PICTURES[0]] * 3000
    found: dict[bytes, int] = {}
    for row in apply(transform, pictures):
        found[row.tobytes()] = found.get(row.tobytes(), 0) + 1
    places = [(top, left, m) for top in range(3) for left in range(5) for m in (False, True)]
    wanted = {oracle(PICTURES[0], transform, t, s, mirrored=m).tobytes() for t, s, m in places}
    assert set(found) == wanted
    # 30 outcomes of 3,000 draws: 100 each, with a standard deviation of 10.
    assert max(abs(count - 100) for count in found.values()) < 50


def test_testing_mirrors_too_but_cuts_the_centre() -> None:
    transform = Transform(crop_size=5, mirror=True)
    kinds = {row.tobytes() for row in apply(transform, [PICTURES[0]] * 64)}
    wanted = {oracle(PICTURES[0], transform, 1, 2, mirrored=m).tobytes() for m in (False, True)}
    assert kinds == wanted


def test_one_seed_gives_one_batch() -> None:
    transform = Transform(crop_size=3, mirror=True, anywhere=True)
    first, second = apply(transform, list(PICTURES), 1), apply(transform, list(PICTURES), 1)
    np.testing.assert_array_equal(first, second)
    assert (first != apply(transform, list(PICTURES), 2)).any()


def test_pictures_that_may_not_be_written_are_mirrored() -> None:
    picture = np.frombuffer(bytes(range(24)), np.uint8).reshape(2, 3, 4)
    rows = apply(Transform(mirror=True), [picture] * 20)
    assert {row.tobytes() for row in rows} == {
        p.astype(np.float32).tobytes() for p in (picture, picture[:, :, ::-1])
    }


def test_a_crop_that_does_not_fit_is_refused_by_the_pictures_name() -> None:
    with pytest.raises(TextError, match=r"picture 0 has 9 x 7 pixels; crop_size 8 does not fit"):
        apply(Transform(crop_size=8), list(PICTURES))


def test_a_mean_of_another_size_is_refused() -> None:
    with pytest.raises(TextError, match=r"picture 0 is 3 x 7 x 9 and mean_file 3 x 7 x 8"):
        apply(Transform(mean=MEAN[:, :, :8]), list(PICTURES))


def test_a_wrong_count_of_mean_values_is_refused() -> None:
    with pytest.raises(TextError, match=r"has 3 channels and transform_param 2 times mean_value"):
        apply(Transform(mean_values=np.zeros(2, np.float32)), list(PICTURES))


def test_a_batch_of_two_sizes_is_refused_by_the_second_ones_name() -> None:
    other = np.zeros((3, 7, 8), np.uint8)
    with pytest.raises(TextError, match=r"picture 1 is 3 x 7 x 8 .* its batch gave 3 x 7 x 9"):
        apply(Transform(), [PICTURES[0], other])


def test_pictures_of_two_sizes_are_a_batch_when_they_are_cut() -> None:
    other = RANDOM.integers(0, 256, (3, 11, 6), dtype=np.uint8)
    rows = apply(Transform(crop_size=4), [PICTURES[0], other])
    np.testing.assert_array_equal(rows[1], other[:, 3:7, 1:5])


def record(**fields: object) -> Message:
    transform = Message("TransformationParameter", fields)
    return Message("LayerParameter", {"name": "it", "transform_param": transform})


def test_the_fields_of_a_text_are_read(tmp_path: Path) -> None:
    save_mean(tmp_path / "mean.binaryproto", MEAN)
    found = read_transform(
        record(scale=0.5, mirror=True, crop_size=4, mean_file=str(tmp_path / "mean.binaryproto")),
        "TRAIN",
    )
    assert found.mean is not None
    np.testing.assert_array_equal(found.mean, MEAN)
    assert (found.scale, found.mirror, found.crop_size, found.anywhere) == (0.5, True, 4, True)
    values = read_transform(record(mean_value=[1.5, 2.5]), "TEST")
    assert values.mean_values is not None
    assert values.mean_values.tolist() == [1.5, 2.5]
    assert not values.anywhere


def test_two_means_are_refused() -> None:
    with pytest.raises(TextError, match=r"layer 'it': has mean_file and mean_value; give one"):
        read_transform(record(mean_file="mean.binaryproto", mean_value=[1.0]), "TEST")


def test_a_missing_mean_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    save_mean(tmp_path / "mean.binaryproto", MEAN)
    with pytest.raises(TextError, match=r"is no file \(did you mean 'mean.binaryproto'\?\)"):
        read_transform(record(mean_file=str(tmp_path / "maen.binaryproto")), "TEST")


def test_layers_and_seeds_have_streams_of_their_own() -> None:
    first, again = stream(7, "data").random(4), stream(7, "data").random(4)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, stream(8, "data").random(4))
    assert not np.array_equal(first, stream(7, "other").random(4))
    stream(-1, "data").random()  # a negative seed is a seed too
