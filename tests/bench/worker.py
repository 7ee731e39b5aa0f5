"""A module of the bench in a process of its own, asked and answering in JSON lines.

One that is not asked waits in a read and takes nothing of the machine from whoever's turn it is. It
ends when its stdin does, so none outlives the bench, however that ends.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.bench.harness import WORK_FOLDER

LEAVE_SECONDS = 10.0
LINE_BYTES = 64 * 1024 * 1024
STDERR = 2


class WorkerFailedError(Exception):
    """A worker ended instead of answering; the message has its last words."""


class Worker:
    """The bench's side. Made by `running`."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def ask(self, **question: Any) -> dict[str, Any]:
        """The answer to one question.

        Raises:
            WorkerFailedError: there is none.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            last = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
            raise WorkerFailedError(f"{self._log.stem} ended without an answer:\n{last}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def running(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Worker]:
    """`python -m tests.bench.<module>`, until the block ends."""
    command = (sys.executable, "-m", f"tests.bench.{module}", *arguments)
    async with started(command, module, environment=environment) as worker:
        yield worker


@asynccontextmanager
async def started(
    command: Sequence[str],
    name: str,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Worker]:
    """A command that answers as `answer_all` does, in a folder, until the block ends.

    Args:
        name: of its log in build/bench/.
    """
    WORK_FOLDER.mkdir(parents=True, exist_ok=True)
    log = WORK_FOLDER / f"{name}.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            limit=LINE_BYTES,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            # Ctrl-C is for the bench alone; it then hangs up.
            start_new_session=True,
        )
    try:
        yield Worker(process, log)
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(LEAVE_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


class Bench:
    """The worker's side: whoever asks it."""

    def __init__(self) -> None:
        # Libraries print to stdout; answers go where they cannot.
        self._answers = os.fdopen(os.dup(1), "wb")
        os.dup2(STDERR, 1)

    def question(self) -> dict[str, Any] | None:
        """The next question; None when there will be no more."""
        line = sys.stdin.buffer.readline()
        if not line:
            return None
        asked: dict[str, Any] = json.loads(line)
        return asked

    def answer(self, answer: Mapping[str, Any]) -> None:
        """Answer the last question."""
        self._answers.write(json.dumps(answer).encode() + b"\n")
        self._answers.flush()


def answer_all(answer: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Answer questions until there are no more."""
    bench = Bench()
    while (question := bench.question()) is not None:
        bench.answer(answer(question))
