"""Several processes in one, in virtual time, each of which may die or freeze before any step.

A step is what runs between two awaits. A process that dies has no further step: no `finally`, no
`except`, as after `kill -9`. One that is frozen has its steps later, as after SIGSTOP and SIGCONT.
"""

import asyncio
import contextvars
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any, TypeVar, TypeVarTuple, Unpack

from google.protobuf.internal import well_known_types

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

EPOCH = 1_800_000_000.0
"""Wall clock at the start of each simulation, in seconds since 1970."""

_PROCESS: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)


class DeadlockError(Exception):
    """Nothing is ready and no timer runs: what is awaited can never come."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to its next timer instead of waiting for it."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the start."""
        self.steps = 0
        """Callbacks of processes that ran."""
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Virtual seconds; all timers go by it."""
        return self.now

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """As in any loop; what a process schedules passes its gate when it is due."""
        gated = self._gated(callback, args, context)
        if gated is None:
            return super().call_soon(callback, *args, context=context)
        gated.handle = super().call_soon(gated.run, context=gated.context)
        return gated.handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """The same for timers."""
        gated = self._gated(callback, args, context)
        if gated is None:
            return super().call_at(when, callback, *args, context=context)
        timer = super().call_at(when, gated.run, context=gated.context)
        gated.handle = timer
        return timer

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> Any:
        """As in any loop; a process holds on to its tasks, so that a dead one's never unwind."""
        task = super().create_task(coro, name=name, context=context)
        process = _PROCESS.get() if context is None else context.get(_PROCESS)
        if process is not None:
            process.tasks.append(task)
        return task

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """At once: a thread would bring real time in."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def advance(self, seconds: float) -> None:
        """Let everything happen that happens within `seconds`."""
        self.run_until_complete(asyncio.sleep(seconds))

    def _gated(self, callback: Any, args: tuple[Any, ...], context: Any) -> "_Step | None":
        context = contextvars.copy_context() if context is None else context
        process = context.get(_PROCESS)
        return None if process is None else _Step(process, callback, args, context)


class Process:
    """A part of the simulation that dies or freezes as a whole.

    Everything that its coroutines start belongs to it, too.
    """

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        self.died_at = ""
        """The awaits from which it did not come back, the outermost first."""
        self.on_death: list[Callable[[], None]] = []
        self.on_freeze: list[Callable[[], None]] = []
        self._loop = loop
        self._context = contextvars.copy_context()
        self._context.run(_PROCESS.set, self)
        self._held: list[_Step] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self._steps_left = -1
        self._then: Callable[[], None] = self.die

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine as part of the process."""
        self.tasks = [task for task in self.tasks if not task.done()]
        started: asyncio.Task[T] = self._loop.create_task(work, context=self._context)
        return started

    def die_after(self, steps: int) -> None:
        """Die just before the step that follows `steps` more; a negative number calls that off."""
        self._steps_left, self._then = steps, self.die

    def freeze_after(self, steps: int) -> None:
        """Freeze just before that step."""
        self._steps_left, self._then = steps, self.freeze

    def die(self) -> None:
        """End as by `kill -9`; what it has sent is on its way all the same."""
        if self.alive:
            self.alive = False
            for tell in self.on_death:
                tell()

    def freeze(self) -> None:
        """Hold every step from now on."""
        if not self.frozen:
            self.frozen = True
            for tell in self.on_freeze:
                tell()

    def thaw(self) -> None:
        """Go on with what was held, in the order in which it became due."""
        self.frozen = False
        held, self._held = self._held, []
        for step in held:
            step.again(self._loop)

    def bury(self) -> None:
        """Unwind what a dead process left, so that nothing of it outlives the simulation.

        Its connections must be dead by now: whatever its `finally` blocks send gets nowhere.
        """
        self.alive, self.frozen = True, False
        self._steps_left = -1
        self.thaw()
        for _ in range(50):
            left = [task for task in self.tasks if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(left, timeout=5))
        raise AssertionError(f"{self.name} does not end although it is cancelled: {left}")

    def admits(self, step: "_Step") -> bool:
        """Whether the step may run now; one that may not is held."""
        if self._steps_left == 0 and self.alive and not self.frozen:
            self._steps_left = -1
            self.died_at = _place_of(step.callback)
            self._then()
        if self.frozen or not self.alive:
            # A dead one's are held until its burial, without which its tasks could not end.
            self._held.append(step)
            return False
        self._steps_left -= self._steps_left > 0
        self._loop.steps += 1
        return True


class _Step:
    """A callback of a process, asked for admission when it is due."""

    def __init__(self, process: Process, callback: Any, args: tuple[Any, ...], context: Any):
        self.callback = callback
        self.context = context
        self.handle: asyncio.Handle | None = None
        self._process = process
        self._args = args

    def run(self) -> None:
        # A timer that was held may have been cancelled by what ran before it.
        if not (self.handle and self.handle.cancelled()) and self._process.admits(self):
            self.callback(*self._args)

    def again(self, loop: VirtualLoop) -> None:
        """Due once more; `handle` stays the one that may be cancelled."""
        asyncio.SelectorEventLoop.call_soon(loop, self.run, context=self.context)


class _Jump(selectors.SelectSelector):
    """Time passes where others would wait."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise DeadlockError
        self._loop.now += max(0.0, timeout)
        return []


@contextmanager
def virtual_time() -> Iterator[VirtualLoop]:
    """A loop, and within the block all clocks of Python code go by it.

    Not those of C code that asks the system itself, such as `datetime.now`.
    """
    loop = VirtualLoop()
    kept = (time.time, time.monotonic, well_known_types.Timestamp.GetCurrentTime)

    def stamp(timestamp: Any) -> None:
        timestamp.FromDatetime(datetime.fromtimestamp(EPOCH + loop.now, UTC))

    time.time, time.monotonic = lambda: EPOCH + loop.now, lambda: loop.now + 1000.0
    well_known_types.Timestamp.GetCurrentTime = stamp  # type: ignore[method-assign,assignment]
    try:
        yield loop
    finally:
        (time.time, time.monotonic, well_known_types.Timestamp.GetCurrentTime) = kept  # type: ignore[method-assign]
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _place_of(callback: Any) -> str:
    """Where the task that a callback would resume stands: `file:line` from the outermost on."""
    awaited = getattr(getattr(callback, "__self__", None), "get_coro", lambda: None)()
    places = []
    while awaited is not None:
        frame: FrameType | None = getattr(awaited, "cr_frame", None)
        if frame is not None:
            places.append(f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}")
        awaited = getattr(awaited, "cr_await", None)
    return " ".join(places) or "a timer"
