"""A plugin of pytest: what a run of tests need not spend.

A million objects of imported modules live as long as the process: looking through them for garbage
while they grow costs a third of collecting, and each full collection between tests costs a second.
A thread of OpenMP that waits for its siblings turns until they come, and where other workers and
services have the cores they come late: a training of one second of work took ten. And Hypothesis
has no deadline for an example: that a machine is busy says nothing of the code.
"""

import gc
import os

import pytest
from hypothesis import settings

QUICK_EXAMPLES = 15
"""Of a property in `make quick`, which is run every few minutes; later tiers try a hundred."""


def pytest_load_initial_conftests() -> None:
    """Before anybody loads OpenMP; child processes inherit it."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_configure(config: pytest.Config) -> None:
    """Before tests are read, whose own settings begin from these."""
    settings.register_profile("modelmill", deadline=None)
    settings.register_profile("quick", deadline=None, max_examples=QUICK_EXAMPLES)
    is_quick = config.getoption("tier", None) == "quick"
    settings.load_profile("quick" if is_quick else "modelmill")


def pytest_collectstart() -> None:
    """Where tests are collected, which is in each worker and not in who controls them."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Garbage of the tests is found as ever."""
    gc.freeze()
    gc.enable()
