"""`compute_image_mean`: the mean picture of a database, and the mean of each channel.

Source:  BVLC Caffe, tools/compute_image_mean.cpp: float32 sums in the order of the keys, so that
         the file has the same bytes.
Differs: pictures must be equal in channels, height and width; in Caffe in their product.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet.caffe.log import LOG
from alexnet.data.databases import open_database
from alexnet.text.blobs import save_mean
from alexnet.text.database_source import DatumReader
from alexnet.text.message import TextError

_REPORT_EVERY = 10_000


@dataclass(frozen=True)
class Mean:
    """The mean of the pictures of a database."""

    picture: NDArray[np.float32]
    """(C, H, W), BGR as in the database."""
    count: int
    """Number of pictures."""

    @property
    def channels(self) -> list[float]:
        """The mean of each channel, summed one number after the other in float32 as in Caffe."""
        size = self.picture[0].size
        return [
            float(np.add.accumulate(part.reshape(-1))[-1] / np.float32(size))
            for part in self.picture
        ]


def compute_image_mean(database: Path, *, backend: str | None = None) -> Mean:
    """Return the mean of all pictures of a database of Datums, raw, encoded or of floats.

    Raises: DatabaseError if there is no database (the nearest is named) or it is damaged;
            TextError for a picture that is refused or of another size than the first.
    """
    reader = DatumReader(str(database))
    total: NDArray[np.float32] | None = None
    count = 0
    with open_database(database, backend) as opened:
        for key, value in opened:
            picture, _ = reader.read(key, value)
            if total is None:
                if reader.encoded:
                    LOG.info("Decoding Datum")
                LOG.info("Starting iteration")
                total = np.zeros(picture.shape, np.float32)
            if picture.shape != total.shape:
                raise TextError(
                    f"{database}: {key.decode('utf-8', 'replace')!r} is {_by(picture.shape)} "
                    f"(channels, height, width) and the first picture {_by(total.shape)}; make the "
                    f"database with --resize_height and --resize_width"
                )
            total += picture
            count += 1
            if count % _REPORT_EVERY == 0:
                LOG.info(f"Processed {count} files.")
    if total is None:
        raise TextError(f"{database} is an empty database; it has no mean")
    if count % _REPORT_EVERY:
        LOG.info(f"Processed {count} files.")
    return Mean(total / np.float32(count), count)


def write_image_mean(database: Path, output: Path | None, *, backend: str | None = None) -> Mean:
    """Compute the mean of a database, log it as Caffe does, and write it if a file is named.

    Raises: as `compute_image_mean`; OSError if the file cannot be written.
    """
    mean = compute_image_mean(database, backend=backend)
    if output is not None:
        LOG.info(f"Write to {output}")
        save_mean(output, mean.picture)
    LOG.info(f"Number of channels: {len(mean.picture)}")
    for channel, value in enumerate(mean.channels):
        LOG.info(f"mean_value channel [{channel}]: {value:g}")
    return mean


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
