"""Parsers fuzzed in processes of their own: one that dies or hangs is a failure, not the end."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.child import CURRENT, TALLY
from tests.fuzz.fuzzing import keep
from tests.fuzz.tally import Tally

GRACE_SECONDS = 60.0
"""To start, and for the last input."""
MOST_DEATHS = 10
"""Of a parser's processes; then it is given up."""

Command = Callable[[float, str, Path], Sequence[str]]
"""Given seconds, seed and folder, what to run; `tests.fuzz.child` does as it should."""


def command_for(name: str) -> Command:
    """The child that fuzzes this parser."""
    return lambda seconds, seed, folder: (
        *(sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.child"),
        *(name, str(seconds), seed, str(folder)),
    )


def fuzz_apart(
    name: str, seconds: float, seed: int, command: Command, grace: float = GRACE_SECONDS
) -> Tally:
    """What came of a parser's inputs; when its process dies another goes on with other inputs."""
    total, deaths = Tally(), 0
    while total.seconds < seconds and deaths < MOST_DEATHS:
        with TemporaryDirectory(prefix="fuzz-") as place:
            folder, left = Path(place), seconds - total.seconds
            why = _ended(command(left, f"{seed}.{deaths}", folder), left + grace)
            total.add(_tally_of(folder))
            if not why:
                break
            deaths += 1
            total.failures += 1
            current = folder / CURRENT
            kept = keep(current, name) if current.exists() else "before the first input"
            print(f"FAILED {kept}: the process {why}", flush=True)
    return total


def _ended(command: Sequence[str], seconds: float) -> str:
    """How a process ended; empty when it did as it should."""
    try:
        status = subprocess.run(command, timeout=seconds, check=False).returncode
    except subprocess.TimeoutExpired:
        return f"did not end in {seconds:.0f} s"
    return f"ended with status {status}" if status else ""


def _tally_of(folder: Path) -> Tally:
    file = folder / TALLY
    return Tally(**json.loads(file.read_text())) if file.exists() else Tally()
