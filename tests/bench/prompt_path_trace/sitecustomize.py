"""Trace of a prompt in a gateway process, for `tests.bench.prompt_path`; found by its name.

From the chat route's call until the call of `Generate`, in the request's own context (its tasks
have it, others have not), each function that runs is noted once. Later requests overwrite earlier
ones.
"""

import json
import os
import sys
from contextvars import ContextVar
from pathlib import Path
from types import FrameType

WRITE_TO = "PROMPT_PATH_TRACE"
_functions: ContextVar[dict[tuple[str, str], None] | None] = ContextVar("functions", default=None)


def _note(frame: FrameType, event: str, _argument: object) -> None:
    if event != "call":
        return
    code = frame.f_code
    running = _functions.get()
    if running is None:
        if code.co_name == "__call__" and _class_name(frame) == "ChatRoute":
            _functions.set({(code.co_filename, code.co_qualname): None})
        return
    if code.co_name == "__call__" and getattr(frame.f_locals.get("self"), "_method", b"")[-9:] == (
        b"/Generate"
    ):
        Path(os.environ[WRITE_TO]).write_text(json.dumps(list(running)), encoding="utf-8")
        _functions.set(None)
    elif not code.co_name.startswith("<"):
        running[code.co_filename, code.co_qualname] = None


def _class_name(frame: FrameType) -> str:
    return type(frame.f_locals.get("self")).__name__


if WRITE_TO in os.environ and any(one.endswith("gateway.main") for one in sys.orig_argv):
    sys.setprofile(_note)
