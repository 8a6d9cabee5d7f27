"""The routes of a net's insides, over HTTP: arithmetic of a pixel, and what excites a unit."""

import time

import pytest

from tests.serve.live import Answer, Live, jpeg


def exciting(live: Live, query: str) -> Answer:
    """Ask for exciting pictures until all have been looked through."""
    for _ in range(600):
        answer = live.ask(f"/api/exciting?{query}")
        if answer.status != 202:
            return answer
        time.sleep(0.05)
    raise AssertionError("the pictures were not looked through")


def test_arithmetic_ends_in_the_value_that_is_looked_at(live: Live) -> None:
    place = "layer=conv3&unit=2&row=1&column=0"
    found = live.ask(f"/api/arithmetic?{place}", jpeg()).json
    values = live.ask("/api/look?kind=values&layer=conv3&unit=2", jpeg()).json["values"]
    assert found["steps"][-1]["value"] == pytest.approx(values[1][0], rel=1e-5, abs=1e-6)
    assert found["steps"][0]["value"] == pytest.approx(found["sum"], rel=1e-4, abs=1e-4)
    assert (found["layer"], found["row"], found["column"]) == ("relu3", 1, 0)


def test_exciting_pictures_fall_and_can_be_fetched(live: Live) -> None:
    found = exciting(live, "layer=conv2&unit=1").json
    assert (found["layer"], found["unit"], found["done"]) == ("relu2", 1, 6)
    values = [each["value"] for each in found["pictures"]]
    assert values == sorted(values, reverse=True)
    for each in found["pictures"]:
        assert live.ask(f"/api/pictures/{each['picture']}").status == 200


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("layer=cnov1&unit=0", "no layer is called 'cnov1'"),
        ("layer=conv1&unit=8", "unit 8 is not in relu1, whose units are 0 to 7"),
        ("layer=conv1&unit=x", "unit is no whole number from 0 to 1000000000"),
    ],
)
def test_units_that_are_not_there_are_refused(live: Live, query: str, message: str) -> None:
    exciting(live, "layer=conv2&unit=1")
    for answer in (
        live.ask(f"/api/exciting?{query}"),
        live.ask(f"/api/arithmetic?{query}", jpeg()),
    ):
        assert answer.status == 400
        assert message in answer.json["error"]["message"]


def test_layers_that_convolve_nothing_have_no_arithmetic(live: Live) -> None:
    answer = live.ask("/api/arithmetic?layer=pool1&unit=0", jpeg())
    assert answer.status == 400
    assert "outputs of pool1 are not made by one convolution" in answer.json["error"]["message"]


def test_a_model_is_described_with_what_its_drawing_needs(live: Live) -> None:
    found = live.ask("/api/model").json
    assert (found["input"], found["columns"], found["branches"]) == ([3, 67, 67], 2, False)
    layers = {each["name"]: each for each in found["layers"]}
    assert (layers["conv1"]["kernel"], layers["conv1"]["stride"]) == (11, 4)
