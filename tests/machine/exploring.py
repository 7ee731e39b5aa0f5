"""Runs the machine and tells what it went through."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.machine import ProtocolMachine


@dataclass(frozen=True)
class Explored:
    """What was gone through, and the first broken promise with the steps that lead to it."""

    totals: Counter[str]
    places: frozenset[str]
    """`file:line` of awaits from which a process did not come back."""
    violation: str


def explore(
    *,
    examples: int,
    steps: int,
    not_compared: bool = False,
    fixed: bool = False,
    shrink: bool = True,
) -> Explored:
    """Let the machine run.

    Args:
        examples: how many.
        steps: rules of each, at most.
        not_compared: the control: job states are written without compare-and-set.
        fixed: the same examples each time.
        shrink: look for the shortest way to a violation.
    """

    class Machine(ProtocolMachine):
        heedless: ClassVar[str] = "job.state.*" if not_compared else ""
        totals: ClassVar[Counter[str]] = Counter()
        places: ClassVar[set[str]] = set()

    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=fixed,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    violation = ""
    try:
        run_state_machine_as_test(Machine, settings=chosen)
    except AssertionError as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        violation = f"{error}\n{notes}"
    return Explored(Machine.totals, frozenset(Machine.places), violation)


def summary(found: Explored, seconds: float) -> str:
    """Counts, a line each."""
    lines = [f"{count:>9,} {what}" for what, count in sorted(found.totals.items())]
    lines.append(f"{len(found.places):>9,} different awaits at which a process died")
    lines.append(f"{seconds:>9,.0f} seconds")
    minutes = max(seconds, 0.001) / 60
    for what in ("examples", "steps of processes"):
        lines.append(f"{found.totals[what] / minutes:>9,.0f} {what} a minute")
    return "\n".join(lines)
