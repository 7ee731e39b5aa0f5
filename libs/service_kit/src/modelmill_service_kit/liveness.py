"""Liveness: a process whose event loop is blocked ends itself, so that it is started again.

A blocked loop answers no probe, and code that holds the interpreter's lock (a long integer power, a
regular expression) keeps every Python thread of the process from noticing. The timer of
`faulthandler` is a thread that needs no lock: it writes the stack of every thread to stderr, which
names the line that blocks, and ends the process with status 1.
"""

import asyncio
import faulthandler
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PARTS = 5
"""The timer is set back so many times within the limit."""


@asynccontextmanager
async def ended_when_blocked(seconds: float) -> AsyncIterator[None]:
    """End the process when its event loop has not run for `seconds` while the block runs.

    One timer exists per process, so there may be one such block at a time. A process that was
    frozen (SIGSTOP) for longer ends when it runs again; sleep of the whole machine does not count.
    """
    interval = seconds / PARTS

    def set_back() -> None:
        faulthandler.dump_traceback_later(seconds + interval, exit=True, file=sys.stderr)

    async def keep_setting_back() -> None:
        while True:
            await asyncio.sleep(interval)
            set_back()

    set_back()  # the block may hold the loop from its first line on
    beating = asyncio.create_task(keep_setting_back(), name="liveness")
    try:
        yield
    finally:
        beating.cancel()
        faulthandler.cancel_dump_traceback_later()
