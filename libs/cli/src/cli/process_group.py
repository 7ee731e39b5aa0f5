"""Supervised processes that start in waves and stop in the opposite order."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service_kit.process_supervisor import LogLine, SupervisedProcess


@dataclass(frozen=True)
class Command:
    """What to run."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class ProcessGroup:
    """Stops whatever it has started when its block ends, also what is still on its way up."""

    def __init__(self, on_line: LogLine) -> None:
        self.running: dict[str, SupervisedProcess] = {}
        self._on_line = on_line
        self._waves: list[list[SupervisedProcess]] = []

    async def start(self, wave: Mapping[str, Command]) -> None:
        """Start these side by side; returns when all are ready.

        Raises:
            UnavailableError: one did not start; the message has its last line.
        """
        processes = [
            SupervisedProcess(name, command.argv, command.environment, self._on_line)
            for name, command in wave.items()
        ]
        self._waves.append(processes)
        starting = [asyncio.create_task(process.start()) for process in processes]
        try:
            await asyncio.gather(*starting)
        finally:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
        self.running |= {process.name: process for process in processes}

    async def __aenter__(self) -> "ProcessGroup":
        return self

    async def __aexit__(self, *_: object) -> None:
        for wave in reversed(self._waves):
            await asyncio.gather(*(process.stop() for process in wave))
