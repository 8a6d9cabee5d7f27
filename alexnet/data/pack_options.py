"""How pictures are packed into shards; imports nothing, so that `data pack --help` is quick.

Source:  Krizhevsky 2012, section 2: pictures are scaled to a shorter side of 256.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PackOptions:
    """How pictures are packed."""

    size: int = 0
    """Shorter side of the stored JPEG, 256 as in the paper; 0 stores every file as it is. Pictures
    that are no larger are stored as they are."""
    quality: int = 95
    """Quality of the JPEG where pictures are scaled, 1 to 100."""
    shard_mb: float = 256.0
    """About how many million bytes a shard has."""
    shuffle_seed: int = 0
    """Seed of the order in which pictures stand in the shards; -1 keeps that of the folder."""
    on_bad_image: Literal["skip", "stop"] = "skip"
    """Pictures that cannot be read: skip them, up to 1 %, and list them in the index; or stop."""

    def __post_init__(self) -> None:
        if self.size and not 16 <= self.size <= 4096:
            raise ValueError(f"size is {self.size}; give 16 to 4096 pixels, or 0 for no scaling")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality is {self.quality}; give 1 to 100, 95 is usual")
        if not self.shard_mb > 0:
            raise ValueError(f"shard-mb is {self.shard_mb}; give more than 0, 256 is usual")
        if self.shuffle_seed < -1:
            raise ValueError(f"shuffle-seed is {self.shuffle_seed}; give 0 or more, or -1 for none")

    @property
    def how(self) -> str:
        """Say it in words."""
        if not self.size:
            return "as they were"
        return f"shorter side at most {self.size}, JPEG quality {self.quality}"
