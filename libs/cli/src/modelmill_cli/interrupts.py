"""Handling of Ctrl-C and SIGTERM: cleanup runs in order, and once."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import typer

T = TypeVar("T")


class Interrupted(Exception):  # noqa: N818  # not an error: somebody asked for it
    """The work was told to stop, and has undone what it had begun."""


async def interruptible(work: Coroutine[Any, Any, T], on_stop: Callable[[], None]) -> T:
    """Run `work`; the first SIGINT or SIGTERM cancels it, further ones find it on its way out.

    Args:
        on_stop: called once, at the signal, so that a person sees that it was heard.

    Raises:
        Interrupted: a signal came, and `work` has unwound.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    told = False

    def stop() -> None:
        nonlocal told
        if not told:
            told = True
            on_stop()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        if told:
            raise Interrupted from None
        raise


def run_interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work in a loop of its own; at a signal it says that it stops.

    Raises:
        Interrupted: a signal came, and `work` has unwound.
    """
    return asyncio.run(interruptible(work, lambda: typer.echo("stopping", err=True)))
