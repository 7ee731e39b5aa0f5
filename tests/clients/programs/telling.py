"""What the programs of all Python clients have in common: where to ask, and how to tell.

A call that counts tokens asks with temperature 0: by chance, a sampled answer ends early.
"""

import json
import os
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

URL = os.environ["CLIENTS_URL"]
KEY = os.environ["CLIENTS_KEY"]
MODEL = os.environ["CLIENTS_MODEL"]
BLOCKED = os.environ["CLIENTS_BLOCKED"]
QUESTION = [{"role": "user", "content": "espresso: strong black coffee"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "description": "How it is.", "parameters": SCHEMA}
TOOL = {"type": "function", "function": FUNCTION}
LONG = 1500
"""Tokens of an answer that nobody hears to its end."""
ROWS = "\n".join(
    json.dumps(
        {
            "messages": [
                {"role": "user", "content": f"thing {number}"},
                {"role": "assistant", "content": "animal" if number % 2 else "plant"},
            ]
        }
    )
    for number in range(40)
).encode()


def tell(calls: Mapping[str, Callable[[], Any]], version: str) -> None:
    """Make each call, in order; one line of JSON says how it went."""
    print(json.dumps({"version": version}), flush=True)
    for name, call in calls.items():
        failed = None
        try:
            call()
        except Exception as error:
            failed = _said_of(error)
        print(json.dumps({"call": name, "failed": failed}), flush=True)


def _said_of(error: Exception) -> str:
    """One line; of a bare `assert`, which has no words, the line of the program."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    why = f"{error}" or f"line {last.lineno}: {last.line}"
    return f"{type(error).__name__}: {why}".splitlines()[0][:300]


def raises(kind: type[Exception], call: Callable[[], Any], *words: str) -> None:
    """The call must be refused with an error of this kind that has these words."""
    try:
        call()
    except kind as error:
        said = str(error)
        for word in words:
            assert word in said, f"{word!r} is not in {said!r}"
        return
    raise AssertionError(f"not refused with {kind.__name__}")


def until(seconds: float, probe: Callable[[], Any]) -> Any:
    """What `probe` gives, once it is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:g} s")


def is_of_schema(text: str) -> None:
    """The text is JSON of `SCHEMA`."""
    said = json.loads(text)
    assert list(said) == ["city"], said
    assert isinstance(said["city"], str), said
