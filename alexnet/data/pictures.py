"""What a set of labelled pictures offers, wherever it lies: a folder, shards, a published file."""

from typing import Protocol

from alexnet.data.image import Picture


class Pictures(Protocol):
    """Labelled pictures in a fixed order; the loader asks for them by their position in it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is a position in this tuple."""

    @property
    def paths(self) -> tuple[str, ...]:
        """A name for each picture, no two the same: what messages and ledgers call it."""

    @property
    def labels(self) -> tuple[int, ...]:
        """One label for each picture."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before using the pictures, a sentence each."""

    def __len__(self) -> int:
        """Return the number of pictures."""

    def pixels(self, index: int, *, at_least: int) -> Picture:
        """Decode a picture; a JPEG may come smaller, its shorter side no less than `at_least`.

        Shapes:  -> (H, W, 3) uint8, RGB.
        Raises:  ImageError if it cannot be read.
        """
