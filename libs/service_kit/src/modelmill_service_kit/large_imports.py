"""What the import of a tensor library need not cost."""

import gc
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

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


def leave_out_bitsandbytes(model: Path) -> None:
    """Say until this process ends that it is not installed, unless the model's folder may need it.

    PEFT imports it for the first adapter, and with it torch's compiler: a second of a core, of
    which nothing is used where weights are not packed.
    """
    try:
        is_packed = "quantization_config" in json.loads((model / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return  # who loads the folder says what is wrong with it
    if not is_packed:
        sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type]
