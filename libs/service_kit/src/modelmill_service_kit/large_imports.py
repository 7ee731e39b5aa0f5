"""What the import of a tensor library need not cost."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

UNUSED = ("sklearn", "torchvision", "boto3")
"""Imported by transformers and accelerate wherever they are installed, and asked for nothing here.
With what comes along (SciPy, pandas) they are half of what the import costs."""


@contextmanager
def large_import(*unused: str) -> Iterator[None]:
    """Import in the block: nothing is searched for garbage meanwhile, and what is there never is.

    A million objects of modules live as long as the process. To look through them again and again
    while they grow is a fifth of what the import of torch and transformers costs.

    Args:
        unused: libraries that, besides `UNUSED`, are said not to be installed in the block.
    """
    hidden = [name for name in UNUSED + unused if name not in sys.modules and find_spec(name)]
    gc.disable()
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.freeze()
        gc.enable()
