"""Runs a tenant's slow work in threads, one piece at a time, beside the event loop.

Short work is done where it comes up: a thread would cost more than it. Who takes longer than short
work does is moved to threads for a while, so that others wait for none of it.
"""

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

ResultT = TypeVar("ResultT")

ALLOWED_SECONDS = 50e-6
"""What a piece of work may take on the event loop at any rate, and beyond that"""
ALLOWED_SECONDS_A_CHARACTER = 0.5e-6
"""so much for each character of the text that it is about."""
DEBT_SECONDS = 0.05
"""Who took so much more than that is apart from then on."""
REPAID_A_SECOND = 0.02
"""Of what a tenant took more; one long text now and then is no reason to be apart."""
APART_SECONDS = 60.0
"""How long it stays so after the last piece that left it as much in debt."""
GIVE_WAY_SECONDS = 0.0001
"""After so long Python lets another thread go on, where one waits: the event loop is one, and may
wait so each time that it has looked for news."""
SHARE = 0.25
"""Of the time that a tenant's work apart takes at most: the rest of it is the event loop's, which
needs the same Python, and on a small machine the same core."""
SHORTEST_REST_SECONDS, LONGEST_REST_SECONDS = 0.0001, 0.1
THREADS = 2
NICENESS = 5
"""Of the threads: on a machine without a free core the event loop comes first."""


@dataclass
class _Account:
    """What one tenant's work took."""

    debt: float = 0.0
    counted_at: float = 0.0
    apart_until: float = 0.0
    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))


class _OwnTime:
    """Time that a thread works, without what the garbage collector takes of it.

    A collection comes to whoever makes the object that is one too many, and takes a hundred times
    as long as a piece of work: it is the process's, not the tenant's.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()
        gc.callbacks.append(self._note)

    def __call__(self) -> float:
        """Seconds of this thread so far."""
        return time.thread_time() - getattr(self._of_thread, "collected", 0.0)

    def close(self) -> None:
        """Look at no more collections."""
        gc.callbacks.remove(self._note)

    def _note(self, phase: str, _info: dict[str, int]) -> None:
        here = self._of_thread
        if phase == "start":
            here.begun = time.thread_time()
        else:
            took = time.thread_time() - here.begun
            here.collected = getattr(here, "collected", 0.0) + took


class WorkApart:
    """Does tenants' work. Close it once no work comes any more."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        """Of tenants whose work took longer than allowed at least once."""
        self._own_time = _OwnTime()
        sys.setswitchinterval(GIVE_WAY_SECONDS)
        self._threads = ThreadPoolExecutor(
            THREADS, thread_name_prefix="apart", initializer=_come_second
        )

    async def run(
        self,
        tenant: str,
        work: Callable[[], ResultT],
        characters: int,
        *,
        apart: Callable[[], ResultT] | None = None,
        long: bool = False,
    ) -> ResultT:
        """What the work comes to: done here, or beside the event loop where that is better.

        A tenant's work beside it is done one piece after the other, with rests between them that
        leave it its share of the time. When this is cancelled, the work has ended or was not begun.

        Args:
            characters: of the text that it is about.
            apart: the same work with rests, for a thread.
            long: it takes long whatever the tenant's work usually does.
        """
        if not long and not self.is_apart(tenant):
            # Of this thread: neither a busy machine nor another tenant's thread is its fault.
            begun = self._own_time()
            try:
                return work()
            finally:
                self.took(tenant, self._own_time() - begun, characters)
        return await self._apart(tenant, apart or work, characters)

    def is_apart(self, tenant: str) -> bool:
        """Whether the tenant's work is done in threads for now."""
        account = self._accounts.get(tenant)
        if account is None or account.apart_until <= 0.0:
            return False
        if account.apart_until > self._clock():
            return True
        account.apart_until = 0.0
        return False

    def took(self, tenant: str, seconds: float, characters: int) -> None:
        """Count a piece of work, wherever it was done."""
        more = seconds - ALLOWED_SECONDS - characters * ALLOWED_SECONDS_A_CHARACTER
        if more > 0.0:
            self._count(tenant, more)

    def keep_apart(self, tenant: str) -> None:
        """The tenant's work is known to take long: none of it is done on the event loop for now."""
        self._count(tenant, DEBT_SECONDS)

    def close(self) -> None:
        """Take no more work."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._own_time.close()

    def _count(self, tenant: str, more: float) -> None:
        account, now = self._accounts.setdefault(tenant, _Account()), self._clock()
        repaid = (now - account.counted_at) * REPAID_A_SECOND
        account.debt, account.counted_at = max(0.0, account.debt - repaid) + more, now
        if account.debt >= DEBT_SECONDS:
            account.debt = min(account.debt, DEBT_SECONDS)
            account.apart_until = now + APART_SECONDS

    def _timed(self, work: Callable[[], ResultT]) -> tuple[ResultT, float]:
        begun = self._own_time()
        return work(), self._own_time() - begun

    async def _apart(self, tenant: str, work: Callable[[], ResultT], characters: int) -> ResultT:
        account = self._accounts.setdefault(tenant, _Account())
        loop, turn = asyncio.get_running_loop(), account.turn
        await turn.acquire()
        job = self._threads.submit(self._timed, work)
        # The thread's end, not its caller's: a caller that leaves must not let in the next one.
        job.add_done_callback(lambda job: loop.call_soon_threadsafe(_end_turn, loop, turn, job))
        done = asyncio.wrap_future(job)
        try:
            result, seconds = await asyncio.shield(done)
        except asyncio.CancelledError:
            # The work may be using what its caller takes apart next.
            job.cancel()
            await asyncio.wait({done})
            raise
        self.took(tenant, seconds, characters)
        return result


class Rests:
    """Called by work in a thread between its steps: a rest that leaves it its share of the time."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()

    def __call__(self) -> None:
        """Rest, which gives others the time, and Python, that they wait for."""
        time.sleep(rest_after(time.perf_counter() - self._begun))
        self._begun = time.perf_counter()


def rest_after(seconds: float) -> float:
    """How long nothing is done for a tenant after so much work."""
    return min(max(seconds * (1 / SHARE - 1), SHORTEST_REST_SECONDS), LONGEST_REST_SECONDS)


def _end_turn(
    loop: asyncio.AbstractEventLoop, turn: asyncio.Semaphore, job: Future[tuple[ResultT, float]]
) -> None:
    failed = job.cancelled() or job.exception() is not None
    loop.call_later(rest_after(0.0 if failed else job.result()[1]), turn.release)


def _come_second() -> None:
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
