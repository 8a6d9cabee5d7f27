"""The log of Caffe's programs: glog's lines on standard error, which Caffe's parse_log reads.

    I1122 09:15:02.381027  4242 solver.py:120] Iteration 100, lr = 0.00992565

Level, month and day, time, process, file and line, message; numbers have six digits, as C++ prints
them. The year is nowhere: parse_log takes it from the file's date.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TextIO

LOG = logging.getLogger("alexnet.caffe")


class Glog(logging.Formatter):
    """Lines in the form of Google's logging library; only the first line of a message has a head.

    Source: glog 0.4, LogMessage::Init.
    """

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created)
        place = f"{record.filename}:{record.lineno}"
        head = f"{record.levelname[0]}{when:%m%d %H:%M:%S.%f} {record.process or 0:>5} {place}] "
        return head + record.getMessage()


@contextmanager
def log_to(stream: TextIO) -> Iterator[None]:
    """Write what is logged to a stream while the context lasts."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Glog())
    before = LOG.level, LOG.propagate
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.level, LOG.propagate = before
