"""ILSVRC's pictures as files to pack: straight from the archives into shards, no folder between.

Only the headers of the tars are read to list them; a picture's bytes are read when it is packed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from alexnet.data.folder import DataError
from alexnet.data.ilsvrc import Devkit
from alexnet.data.ilsvrc_archives import Entry
from alexnet.data.imagenet import Block, Replacements, published_bytes


@dataclass(frozen=True)
class IlsvrcFiles:
    """The pictures of a part; what `alexnet.data.pack_plan.Files` asks for."""

    part: str
    """train, val or test."""
    classes: tuple[str, ...]
    """All WNIDs of the development kit, sorted."""
    paths: tuple[str, ...]
    """WNID/NAME.JPEG, sorted: the same from tars and from folders."""
    labels: tuple[int, ...]
    """One label for each picture."""
    entries: tuple[Entry, ...]
    """Where the pictures lie."""
    replacements: Replacements
    """Pictures of patch_images.tar that take the place of others."""

    def size(self, index: int) -> int:
        """Return the bytes of a picture's file as published."""
        return self.entries[index].num_bytes

    def data(self, index: int) -> bytes:
        """Return a picture's file, patched and unpacked where it must be.

        Raises:  DataError when it cannot be read at all.
        """
        return published_bytes(self.entries[index], self.part, self.replacements)[0]


def list_files(
    blocks: Iterable[Block], devkit: Devkit, *, part: str, replacements: Replacements
) -> IlsvrcFiles:
    """List the pictures of a part.

    Raises:  DataError when two pictures have one name, or as the blocks do.
    """
    label_of = {synset.wnid: label for label, synset in enumerate(devkit.classes)}
    found: dict[str, tuple[int, Entry]] = {}
    for _, pictures in blocks:
        for wnid, entry in pictures:
            path = f"{wnid}/{entry.name}"
            if path in found:
                raise DataError(f"two pictures would be {path}; give a source without doubles")
            found[path] = (label_of[wnid], entry)
    paths = tuple(sorted(found))
    return IlsvrcFiles(
        part,
        tuple(label_of),
        paths,
        tuple(found[path][0] for path in paths),
        tuple(found[path][1] for path in paths),
        replacements,
    )
