"""What a parser is to the fuzzer, and what came of its inputs."""

from dataclasses import dataclass, fields
from pathlib import Path
from random import Random
from typing import Protocol


class FuzzError(AssertionError):
    """A parser broke its promise."""


class Parser(Protocol):
    """Something that reads what strangers send."""

    def make(self, random: Random, /) -> bytes:
        """An input, broken or not; at most some tens of kilobytes."""

    def execute(self, path: Path, /) -> int:
        """Parse the input in the file and hold what comes out against what is promised.

        What it does follows from the input alone, so that one that failed fails again.

        Returns:
            Rows, or other things, found in it.

        Raises:
            InvalidInputError: The parser refuses the whole input, as it may.
            Exception: Anything else is a failure.
        """


@dataclass
class Tally:
    """What came of the inputs of one parser."""

    executions: int = 0
    refused: int = 0
    """Inputs refused as a whole."""
    rows: int = 0
    failures: int = 0
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    """Processor time of one input at most."""
    grown_bytes: int = 0
    """Resident at most, beyond what the libraries took before the first input."""

    def add(self, later: "Tally") -> None:
        """Take another process's tally of the same parser to this one."""
        for field in fields(self):
            both = getattr(self, field.name), getattr(later, field.name)
            is_most = field.name in ("slowest_seconds", "grown_bytes")
            setattr(self, field.name, max(both) if is_most else sum(both))
