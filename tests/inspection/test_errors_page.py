"""The parts on errors, for few classes and for many."""

from alexnet.inspection.account import Measured
from alexnet.inspection.errors_page import classes_part, confusion_part, errors_part, mistakes_part
from tests.inspection.accounts import Page, account_of, counts_of


def rows_of(text: str) -> list[str]:
    """Return the words of each row of a part's tables, in the order of the page."""
    lines = [line for line in text.splitlines() if line.startswith("<tr>")]
    return [" ".join(Page(line.encode()).words).replace("\u202f", " ") for line in lines]


def test_errors_stand_beside_their_intervals() -> None:
    text = errors_part(account_of([f"class {n}" for n in range(10)]))
    assert rows_of(text) == [
        "top-1 45 of 100 45.00 % 35.6 to 54.8 %",
        "top-5 22 of 100 22.00 % 15.0 to 31.1 %",
    ]
    assert "name the largest class always would be wrong for 90.0" in text


def test_of_two_classes_the_first_five_answers_hold_all() -> None:
    text = errors_part(account_of(["cat", "dog"]))
    assert "Of 2 classes the first five answers hold all." in text
    assert "top-5" not in text


def test_the_worst_classes_come_first() -> None:
    rows = rows_of(classes_part(Measured(counts_of(["a", "b", "c"]), "those")))
    assert rows == [
        "c 2 of 10 20.0 % 5.7 to 51.0 %",
        "b 1 of 10 10.0 % 1.8 to 40.4 %",
        "a 0 of 10 0.0 % 0.0 to 27.8 %",
    ]


def test_of_many_classes_the_worst_are_shown_and_none_is_lost() -> None:
    names = [f"class {n}" for n in range(1000)]
    page = Page(classes_part(Measured(counts_of(names), "those")).encode())
    assert "The other 980 classes" in page.words
    assert {word for word in page.words if word.startswith("class ")} == set(names)


def test_a_class_without_pictures_has_no_error() -> None:
    counts = counts_of(["a", "b"])
    counts.confusion[1] = 0
    rows = rows_of(classes_part(Measured(counts, "those")))
    assert rows[-1].startswith("b 0 of 0 \u2013 \u2013")


def test_few_classes_are_confused_in_numbers() -> None:
    text = confusion_part(Measured(counts_of(["a", "b", "c"]), "those"))
    assert rows_of(text) == ["a 10 0 0", "b 0 9 1", "c 2 0 8", "c a 2 20.0 %", "b c 1 10.0 %"]
    cells = Page(text.encode()).all("td")
    assert cells[1] == {"class": "strong right", "style": "--strength:1.00"}
    assert cells[2] == {"class": "none"}


def test_answers_that_are_not_finite_are_spoken_of() -> None:
    counts = counts_of(["a", "b"])
    counts.unanswered[1] = 3
    assert "3 pictures have no finite answer" in confusion_part(Measured(counts, "those"))


def test_a_mistake_shows_its_picture_its_answer_and_what_is_right() -> None:
    page = Page(mistakes_part(account_of(["cat", "dog"]).wrong).encode())
    assert page.all("img")[0]["alt"] == "cat/a&b.jpg: taken for dog, is cat"
    assert "dog 90.0 % is cat 5.0 % cat/a&b.jpg" in page.said()
