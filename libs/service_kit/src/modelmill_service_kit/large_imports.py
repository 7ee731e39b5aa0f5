"""Garbage collection while a process imports a tensor library."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Import in the block: nothing is searched for garbage meanwhile, and what is there never is.

    A million objects of modules live as long as the process. To look through them again and again
    while they grow is a fifth of what the import of torch and transformers costs.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
