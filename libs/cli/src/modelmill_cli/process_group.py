"""Supervised processes that start in waves and stop in the opposite order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modelmill_service_kit.endings import MARK, descendants, kill_descendants
from modelmill_service_kit.process_supervisor import LogLine, SupervisedProcess

from modelmill_cli.state_folder import StateFolder


@dataclass(frozen=True)
class Command:
    """What to run."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_sign: str | None = None
    """What a line of its output has once it answers; without it, it says READY as ours do."""


class ProcessGroup:
    """Stops whatever it has started when its block ends, also what is still on its way up.

    Args:
        mark: all its processes run under it (see `descendants`).
        on_restart: called when one of them was started again, and is ready.
    """

    def __init__(
        self, on_line: LogLine, *, mark: str, on_restart: Callable[[], None] | None = None
    ) -> None:
        self.running: dict[str, SupervisedProcess] = {}
        self._on_line = on_line
        self._mark = mark
        self._on_restart = on_restart
        self._waves: list[list[SupervisedProcess]] = []

    async def start(self, wave: Mapping[str, Command]) -> None:
        """Start these side by side; returns when all are ready.

        Raises:
            UnavailableError: one did not start; the message has its last line.
        """
        processes = [self._supervised(name, command) for name, command in wave.items()]
        self._waves.append(processes)
        starting = [asyncio.create_task(process.start()) for process in processes]
        try:
            await asyncio.gather(*starting)
        finally:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
        self.running |= {process.name: process for process in processes}

    async def given_up(self) -> None:
        """Wait for as long as all of them are kept running.

        Raises:
            UnavailableError: one is not started any more; the message says which, and why.
        """
        waiting = [asyncio.create_task(each.given_up()) for each in self.running.values()]
        try:
            await asyncio.gather(*waiting)
        finally:
            for task in waiting:
                task.cancel()

    def _supervised(self, name: str, command: Command) -> SupervisedProcess:
        return SupervisedProcess(
            name,
            command.argv,
            {**command.environment, MARK: self._mark},
            self._on_line,
            ready_sign=command.ready_sign,
            on_restart=self._on_restart,
        )

    async def __aenter__(self) -> "ProcessGroup":
        return self

    async def __aexit__(self, *_: object) -> None:
        for wave in reversed(self._waves):
            await asyncio.gather(*(process.stop() for process in wave))


PATIENCE_SECONDS = 5.0
"""They know that their mill is gone and give their work back meanwhile."""
LOOK_SECONDS = 0.1


async def end_leftovers(state: StateFolder, on_line: LogLine) -> None:
    """Return once nobody works on the folder any more; whoever holds its lock may call it.

    Processes that do not end by themselves are killed: hung ones, and those whose own parents were
    killed with the mill.
    """
    left = await _count(state)
    if not left:
        return
    on_line("mill", f"waiting for what a killed mill left: {left} process(es)")
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        if not await _count(state):
            return
    killed = await asyncio.to_thread(kill_descendants, state.mark)
    on_line("mill", f"killed {killed} of them, which did not end")


async def _count(state: StateFolder) -> int:
    return len(await asyncio.to_thread(lambda: list(descendants(state.mark))))
