"""Inputs to one parser for some seconds, in this process, with a bound on what it may take."""

import hashlib
import resource
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import monotonic, process_time

from modelmill_service_kit.errors import InvalidInputError

from tests.fuzz.tally import FuzzError, Parser, Tally

FAILED = Path("build/fuzz")
"""Where inputs that fail are kept, each with its parser's name as the ending."""
KEPT = 20
"""Failures of a parser that are kept and told, one for each place in the code; the rest counts."""
MEMORY_BYTES = 1 << 30
"""More than a parser may take for inputs of some kilobytes."""
SLOW_SECONDS = 5.0
"""Of processor time: an input that takes longer is a failure."""
REPORT_SECONDS = 1.0


def bound_memory() -> None:
    """From here on this process may take so much more, and gets a MemoryError beyond."""
    limit = _memory("VmData") + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def fuzz(
    name: str,
    parser: Parser,
    seconds: float,
    seed: str,
    current: Path,
    report: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Give the parser inputs for so long.

    Args:
        current: Holds each input while it is parsed, for who finds this process dead.
        report: Told about every second, and at the end.
    """
    random, tally = Random(f"{seed} {name}"), Tally()
    before, seen = _memory("VmHWM"), set[str]()
    began = told = monotonic()
    while monotonic() - began < seconds:
        current.write_bytes(parser.make(random))
        tally.executions += 1
        if (error := _execute(parser, current, tally)) is not None:
            tally.failures += 1
            place = _place_of(error)
            if place not in seen and len(seen) < KEPT:
                seen.add(place)
                print(f"FAILED {keep(current, name)}: {place}: {str(error)[:500]}", flush=True)
        if monotonic() - told > REPORT_SECONDS:
            told = monotonic()
            _measure(tally, began, before)
            report(tally)
    _measure(tally, began, before)
    report(tally)
    return tally


def _measure(tally: Tally, began: float, before: int) -> None:
    tally.seconds = monotonic() - began
    tally.grown_bytes = _memory("VmHWM") - before


def _execute(parser: Parser, path: Path, tally: Tally) -> Exception | None:
    """How it failed; None when it did not."""
    began = process_time()
    try:
        tally.rows += parser.execute(path)
    except InvalidInputError:
        tally.refused += 1
    except Exception as error:
        return error
    took = process_time() - began
    tally.slowest_seconds = max(tally.slowest_seconds, took)
    return FuzzError(f"took {took:.1f} s") if took > SLOW_SECONDS else None


def keep(path: Path, name: str) -> Path:
    """A copy of an input where `python -m tests.fuzz --replay` finds it."""
    content = path.read_bytes()
    FAILED.mkdir(parents=True, exist_ok=True)
    kept = FAILED / f"{hashlib.sha256(content).hexdigest()[:16]}.{name}"
    kept.write_bytes(content)
    return kept


def _place_of(error: Exception) -> str:
    """The kind of the error and the line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" at {Path(frame.filename).name}:{frame.lineno}" for frame in last)
    return f"{type(error).__name__}{where}"


def _memory(field: str) -> int:
    """Bytes of a field of this process's status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise OSError(f"no {field} in /proc/self/status")
