"""A plugin of pytest: what collecting brings in is not searched for garbage, then or later.

A million objects of imported modules live as long as the process: looking through them while they
grow costs a third of collecting, and each full collection between tests costs a second.
"""

import gc


def pytest_collectstart() -> None:
    """Where tests are collected, which is in each worker and not in who controls them."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Garbage of the tests is found as ever."""
    gc.freeze()
    gc.enable()
