"""Processes forked from one that has imported what a training needs, so that each starts at once.

There is one such process for all tests of a pytest process, and what it imports is settled before
the first fork: whoever needs more names it here.
"""

import multiprocessing

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "tests.parallel.doomed",
        "tests.training.killed",
        "torch._dynamo",  # which DistributedDataParallel imports, in a second and more
    ]
)
