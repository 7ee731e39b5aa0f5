"""A call of a foreign library ends at its limits, and says which it passed."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.bounded import LimitError
from modelmill_tokenization.bounded.call import CallLimits, bounded_call

pytestmark = [pytest.mark.tier("test"), pytest.mark.real_starts]

FUNCTIONS = """
import signal
from pathlib import Path

def fills(path):
    with Path(path).open("wb") as file:
        while True:
            file.write(b"x" * 65536)

def refuses(why):
    raise ValueError(why)

def waits(_):
    signal.pause()
"""
LIMITS = CallLimits(
    cpu_seconds=1, seconds=20, memory_bytes=1 << 30, file_bytes=1 << 20, answer_bytes=1000
)


@pytest.fixture(autouse=True)
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that the called process can import."""
    (tmp_path / "foreign.py").write_text(FUNCTIONS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)


def test_a_call_returns_what_the_function_does() -> None:
    assert bounded_call("builtins:sorted", [3, 1, 2], LIMITS) == [1, 2, 3]


@pytest.mark.parametrize(
    ("function", "given", "passed"),
    [
        ("math:factorial", 10**7, "1 s of CPU time"),
        ("builtins:bytearray", 1 << 31, "memory"),
        ("secrets:token_hex", 1000, "said more than 1000 bytes"),
    ],
)
def test_a_call_that_passes_a_limit_is_stopped(function: str, given: Any, passed: str) -> None:
    with pytest.raises(LimitError, match=passed) as stopped:
        bounded_call(function, given, LIMITS)
    assert "import the model" in stopped.value.message


def test_a_call_that_only_waits_is_stopped_by_the_clock() -> None:
    began = time.monotonic()
    with pytest.raises(LimitError, match="took more than 2 s"):
        bounded_call("foreign:waits", None, CallLimits(seconds=2))
    assert time.monotonic() - began < 20


def test_a_call_that_fills_the_disk_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="a file of more than 1 MiB"):
        bounded_call("foreign:fills", str(tmp_path / "file"), LIMITS)
    assert (tmp_path / "file").stat().st_size <= LIMITS.file_bytes


def test_a_call_that_raises_is_an_invalid_input() -> None:
    with pytest.raises(InvalidInputError, match="ValueError: no vocabulary"):
        bounded_call("foreign:refuses", "no vocabulary", LIMITS)
