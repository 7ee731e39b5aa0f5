"""Supervised processes that start in waves and stop in the opposite order."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modelmill_service_kit.endings import MARK, descendants, kill_descendants
from modelmill_service_kit.process_supervisor import STOP_SECONDS, LogLine, SupervisedProcess

from modelmill_cli.state_folder import StateFolder


@dataclass(frozen=True)
class Command:
    """What to run."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_sign: str | None = None
    """What a line of its output has once it answers; without it, it says READY as ours do."""
    stop_seconds: float = STOP_SECONDS
    """At a stop it is killed if it takes longer."""


class ProcessGroup:
    """Stops whatever it has started when its block ends, also what is still on its way up.

    Args:
        mark: all its processes run under it (see `descendants`).
        on_restart: called when one of them was started again or replaced, and is ready.
    """

    def __init__(
        self, on_line: LogLine, *, mark: str, on_restart: Callable[[], None] | None = None
    ) -> None:
        self.running: dict[str, SupervisedProcess] = {}
        self._on_line = on_line
        self._mark = mark
        self._on_restart = on_restart
        self._waves: list[list[SupervisedProcess]] = []
        self._beside: list[SupervisedProcess] = []
        """Successors that do not answer yet, and predecessors that still do."""
        self._was_replaced = asyncio.Event()

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
        while True:
            self._was_replaced.clear()
            replaced = asyncio.create_task(self._was_replaced.wait())
            kept = [asyncio.create_task(each.given_up()) for each in self.running.values()]
            try:
                await asyncio.wait({replaced, *kept}, return_when=asyncio.FIRST_COMPLETED)
                if not replaced.done():
                    await asyncio.gather(*(task for task in kept if task.done()))
            finally:
                for task in (replaced, *kept):
                    task.cancel()
                await asyncio.gather(replaced, *kept, return_exceptions=True)

    async def replace(
        self,
        name: str,
        command: Command,
        *,
        check: Callable[[SupervisedProcess], Awaitable[None]],
        by: signal.Signals,
        within_seconds: float,
    ) -> None:
        """Start a successor beside what runs by that name; once it is well, end the predecessor.

        When it does not become well, nothing has changed.

        Args:
            check: returns once the successor, which is ready, has all the work.
            by: tells the predecessor to end.
            within_seconds: it is killed if it takes longer.

        Raises:
            UnavailableError: it did not start, or as `check` says.
        """
        successor, predecessor = self._supervised(name, command), self.running[name]
        self._beside.append(successor)
        try:
            await successor.start()
            await check(successor)
        except BaseException:
            await successor.stop()
            self._beside.remove(successor)
            raise
        try:
            self._put_in_place(successor, predecessor)
        finally:
            # Two that run on would hold both ports of the service, and the next had none.
            await predecessor.stop(by=by, within_seconds=within_seconds)
            self._beside.remove(predecessor)

    def _put_in_place(self, successor: SupervisedProcess, predecessor: SupervisedProcess) -> None:
        self._beside.remove(successor)
        self._beside.append(predecessor)
        self.running[successor.name] = successor
        for wave in self._waves:
            wave[:] = [successor if each is predecessor else each for each in wave]
        self._was_replaced.set()
        if self._on_restart is not None:
            self._on_restart()

    def _supervised(self, name: str, command: Command) -> SupervisedProcess:
        return SupervisedProcess(
            name,
            command.argv,
            {**command.environment, MARK: self._mark},
            self._on_line,
            ready_sign=command.ready_sign,
            on_restart=self._on_restart,
            stop_seconds=command.stop_seconds,
        )

    async def __aenter__(self) -> "ProcessGroup":
        return self

    async def __aexit__(self, *_: object) -> None:
        for wave in (self._beside, *reversed(self._waves)):
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
