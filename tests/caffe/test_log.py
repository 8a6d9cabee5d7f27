"""Log lines have glog's form, which Caffe's tools/extra/parse_log.py takes apart."""

import io
import os
import re

from alexnet.caffe.log import LOG, log_to


def test_a_line_has_the_head_of_glog() -> None:
    stream = io.StringIO()
    with log_to(stream):
        LOG.info("Iteration 100, lr = 0.01")
    head = r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +(\d+) test_log\.py:\d+\] "
    match = re.fullmatch(head + r"Iteration 100, lr = 0\.01\n", stream.getvalue())
    assert match is not None
    assert int(match[1]) == os.getpid()


def test_a_warning_starts_with_its_letter() -> None:
    stream = io.StringIO()
    with log_to(stream):
        LOG.warning("no CUDA device")
    assert stream.getvalue().startswith("W")


def test_the_words_of_a_line_stand_where_parse_log_counts_them() -> None:
    stream = io.StringIO()
    with log_to(stream):
        LOG.info("    Test net output #0: accuracy = 0.5")
        LOG.info("Iteration 5, lr = 0.25")
    output, rate = (line.split() for line in stream.getvalue().splitlines())
    assert output[10] == "0.5"  # awk's $11
    assert rate[8] == "0.25"  # awk's $9


def test_only_the_first_line_of_a_message_has_a_head() -> None:
    stream = io.StringIO()
    with log_to(stream):
        LOG.info("first\nsecond %d")
    assert stream.getvalue().endswith("] first\nsecond %d\n")


def test_nothing_is_written_after_the_end() -> None:
    stream = io.StringIO()
    with log_to(stream):
        pass
    LOG.info("late")
    assert stream.getvalue() == ""
