"""The Data layer: batches of pictures from an LMDB or LevelDB database of Datums.

Source:  BVLC Caffe, src/caffe/layers/data_layer.cpp: the order of the keys, from the beginning
         again after the last; a batch has the size of its first picture.
Differs: rand_skip, which the last Caffe forgot, leaves out as many first pictures as it says in
         caffe.proto: a random number below it. Several solvers do not share one database.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.data.databases import Database, DatabaseError, open_database
from alexnet.text import wire
from alexnet.text.ahead import Ahead
from alexnet.text.datum import read_datum
from alexnet.text.kind import Setting, Shape, Source
from alexnet.text.message import Message, TextError
from alexnet.text.transform import Picture, read_transform, stream

_MOST_TAILS = 100_000


class DatumReader:
    """Reads one Datum after the other, quickly where they are raw and of one size.

    What stands before and behind the pixels is then one of few strings of bytes, which are parsed
    once: 1 us a picture instead of 25, as the digits of MNIST need it.
    """

    def __init__(self, source: str, *, color: bool | None = None) -> None:
        """`source` stands in errors; `color` forces encoded pictures to colour or gray."""
        self.source, self.color = source, color
        self.encoded = False
        """Whether the last picture was an encoded one."""
        self._head, self._end = b"\0", 0
        self._shape: tuple[int, ...] = ()
        self._labels: dict[bytes, int] = {}

    def read(self, key: bytes, value: bytes) -> tuple[Picture, int]:
        """Return the picture (C, H, W) and the label of a Datum.

        Raises: TextError when the bytes are no Datum or hold no picture.
        """
        if value.startswith(self._head):
            label = self._labels.get(value[self._end :])
            if label is not None:
                start = len(self._head)
                pixels = np.frombuffer(value, np.uint8, self._end - start, start)
                return pixels.reshape(self._shape), label
        return self._parse(value, f"{self.source}: {key.decode('utf-8', 'replace')!r}")

    def _parse(self, value: bytes, name: str) -> tuple[Picture, int]:
        datum = wire.decode(value, "Datum", source=name)
        self.encoded = datum["encoded"]
        pixels, label = read_datum(datum, color=self.color, source=name)
        if pixels.dtype == np.uint8 and not self.encoded:
            self._learn(value, datum, label)
        return pixels, label

    def _learn(self, value: bytes, datum: Message, label: int) -> None:
        data: bytes = datum["data"]
        sides = {name: datum[name] for name in ("channels", "height", "width")}
        head = wire.encode(Message("Datum", {**sides, "data": data}))[: -len(data)]
        end = len(head) + len(data)
        if not value.startswith(head) or value[len(head) : end] != data:
            return
        if head != self._head or len(self._labels) > _MOST_TAILS:
            self._labels = {}
        self._head, self._end, self._shape = head, end, tuple(sides.values())
        self._labels[value[end:]] = label


class DatabaseSource(Source):
    """Reads batches from a database of Datums in the order of its keys, without end."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        record = setting.record
        self._record, self._parameter = record, record["data_param"]
        transform: Message = record["transform_param"]
        if "source" not in self._parameter:
            raise record.refuse("data_param has no source; give the folder of a database")
        batch = self._parameter["batch_size"]
        if batch < 1:
            raise record.refuse("data_param has no positive batch_size; give one")
        if transform["force_color"] and transform["force_gray"]:
            raise record.refuse("force_color and force_gray are both set; set one of them")
        forced = transform["force_color"] or transform["force_gray"]
        source: str = self._parameter["source"]
        self._reader = DatumReader(source, color=transform["force_color"] if forced else None)
        self._transform = read_transform(record, setting.phase)
        self._database, (key, value) = self._open(source)
        first, _ = self._reader.read(key, value)
        self._check(first.shape, key)
        if forced and not self._reader.encoded:
            warnings.warn(
                f"layer {record['name']!r}: force_color and force_gray are for encoded pictures; "
                f"those of {source} are raw and stay as they are",
                stacklevel=2,
            )
        self.shapes = ((batch, *self._transform.shape(first.shape)), (batch,))[: setting.tops]
        self._random = np.random.default_rng()
        self._items: Iterator[tuple[bytes, bytes]] | None = None
        self._ahead = Ahead(self._load, self._parameter["prefetch"])

    def seed(self, seed: int) -> None:
        """Let a number decide what is drawn; called before the first batch."""
        self._random = stream(seed, self._record["name"])

    def forward(self) -> Tensor | tuple[Tensor, Tensor]:
        """Return the next pictures (N, C, H, W) and, for a second top, labels (N,), float32.

        Raises: TextError or DatabaseError when the database is damaged, or when a picture has
                another size than the first of its batch.
        """
        batch, labels = self._ahead.take()
        pictures = torch.from_numpy(batch)
        return (pictures, torch.from_numpy(labels)) if len(self.shapes) > 1 else pictures

    def close(self) -> None:
        """End the thread that reads ahead, and close the database."""
        self._ahead.close()
        self._database.close()

    def _open(self, source: str) -> tuple[Database, tuple[bytes, bytes]]:
        try:
            database = open_database(Path(source), self._parameter["backend"])
            for first in database:
                return database, first
        except DatabaseError as error:
            raise self._record.refuse(f"source: {error}") from None
        raise self._record.refuse(f"source: {source} is an empty database; fill it")

    def _check(self, shape: Shape, key: bytes) -> None:
        try:
            self._transform.check(shape, f"{self._parameter['source']}: {key!r}")
        except TextError as error:
            raise self._record.refuse(str(error)) from None

    def _load(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._items is None:
            self._items = self._endless()
        size = self.shapes[0][0]
        pictures: list[Picture] = []
        labels = np.empty(size, np.float32)
        keys = []
        for number in range(size):
            key, value = next(self._items)
            keys.append(key)
            picture, labels[number] = self._reader.read(key, value)
            pictures.append(picture)
        try:
            return self._transform.apply(pictures, keys, random=self._random), labels
        except TextError as error:
            raise self._record.refuse(f"{self._parameter['source']}: {error}") from None

    def _endless(self) -> Iterator[tuple[bytes, bytes]]:
        skipped = self._parameter["rand_skip"]
        left = int(self._random.integers(skipped)) if skipped else 0
        while True:
            for item in self._database:
                if left:
                    left -= 1
                    continue
                yield item
