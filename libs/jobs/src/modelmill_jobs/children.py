"""Starts the child process of a job, and answers its requests.

Questions are answered side by side, until the process is gone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from modelmill_service_kit.child_process import ChildProcess
from modelmill_service_kit.errors import DiskFullError

from modelmill_jobs.child import DISK_FULL
from modelmill_jobs.errors import ChildDied


async def start_child(
    module: str,
    request: Mapping[str, Any],
    *,
    folder: Path,
    env: Mapping[str, str] | None = None,
) -> ChildProcess:
    """Run `python -m module` (see `modelmill_jobs.child`) and hand it the request.

    Args:
        folder: its scratch, with its log.
    """
    child = await ChildProcess.start(module, log_file=folder / "child.log", env=env)
    child.send({"folder": str(folder), "request": dict(request)})
    return child


def why_it_died(status: int, folder: Path, log_tail: str) -> Exception:
    """What became of a child that ended with this exit status and nobody told it to.

    Args:
        folder: in which it worked.
    """
    if status == DISK_FULL:
        return DiskFullError(f"disk full on {folder} of the worker. Free space and repeat")
    return ChildDied("CHILD_DIED", _say_status(status), log_tail)


def _say_status(status: int) -> str:
    if status == -9:
        return "the work process was killed (signal 9); it may have run out of memory"
    if status < 0:
        return f"the work process crashed (signal {-status})"
    return f"the work process ended with status {status} and no result"


log = logging.getLogger(__name__)

OnQuestion = Callable[[Mapping[str, Any]], Awaitable[Any]]
"""From a question to its answer, plain JSON both. What it raises ends the attempt."""


class Questions:
    """Pending requests of one child.

    Args:
        answered: Called after each answer: a child that is answered is not silent.
    """

    def __init__(
        self, child: ChildProcess, on_question: OnQuestion | None, answered: Callable[[], None]
    ) -> None:
        self._child = child
        self._on_question = on_question
        self._answered = answered
        self._open: set[asyncio.Task[None]] = set()
        self.failure: Exception | None = None
        """Why a question was not answered; the child has been ended for it."""

    def take(self, number: int, question: Mapping[str, Any]) -> None:
        """Begin to answer.

        Raises:
            TypeError: nobody is there to answer.
        """
        if self._on_question is None:
            raise TypeError("the child asks, but run_child was given no on_question")
        task = asyncio.create_task(self._answer(self._on_question, number, question))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def close(self) -> None:
        """Nobody waits for what is still open."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _answer(
        self, on_question: OnQuestion, number: int, question: Mapping[str, Any]
    ) -> None:
        try:
            answer = await on_question(question)
            self._child.send({"answered": number, "answer": answer})
        except Exception as error:
            # The first one says why; the others are ended with the child.
            self.failure = self.failure or error
            self._child.kill()
        else:
            self._answered()
