"""The flags of `convert_imageset`; this module imports nothing heavy, for the command's help."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The flags of the command, with its defaults."""

    gray: bool = False
    """Read pictures as gray."""
    shuffle: bool = False
    """Shuffle the list."""
    backend: str = "lmdb"
    """The kind of database: lmdb or leveldb."""
    resize_width: int = 0
    """Width that pictures are resized to, with resize_height; 0 keeps their size."""
    resize_height: int = 0
    """Height that pictures are resized to."""
    check_size: bool = False
    """Stop at a picture of another size than the first."""
    encoded: bool = False
    """Store pictures as files, encoded as their names end."""
    encode_type: str = ""
    """Store pictures as files of this encoding: png, jpg, bmp or webp."""
