"""A stack whose processes write to one log file, so that the terminal is left to its command."""

import asyncio
import json
import os
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import typer
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.process_supervisor import LogLine

from modelmill_cli.errors import StackFailedError, folder_error
from modelmill_cli.stack import Stack, StackOptions, running_stack
from modelmill_cli.state_folder import StateFolder

KEPT_BYTES = 16 << 20
"""Of one file; a full one is kept beside the new one, in place of the one before."""
TAIL_LINES = 20
BROKER = "nats"
"""Its lines have a time."""
NAMED = ("seconds", "request_id", "tenant", "job_id", "trace_id")
"""Fields of a line that a log keeps beside its message."""
UNREMARKABLE = ("[INF]", "[DBG]", "[TRC]")
"""Marks of the broker's lines that are no news."""
NEWS = ("WARNING", "ERROR", "CRITICAL")


class StackLog:
    """Takes lines until its block ends. A full disk costs lines, never the stack.

    It is written at once and not truncated: another mill may be at work on the folder, which only
    its lock tells.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tail = deque[str](maxlen=TAIL_LINES)
        self._file = _opened(path)

    def write(self, name: str, line: str) -> None:
        """Keep what a process said, behind its name and shortened for people."""
        said = f"{name:>17} {dated(line, stamps=name != BROKER)}"
        self._tail.extend(said.splitlines())
        with suppress(OSError):
            os.write(self._file, f"{said}\n".encode())
            if os.fstat(self._file).st_size > KEPT_BYTES:
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
                os.close(self._file)
                self._file = _opened(self.path)

    def last_words(self) -> str:
        """The last lines that were heard, and where all of them are; empty when there was none."""
        lines = ("".join(c if c.isprintable() else "?" for c in line) for line in self._tail)
        return "\n".join((*lines, f"all of the log: {self.path}")) if self._tail else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def readable(line: str) -> str:
    """A JSON log line as level and message; any other line as it is."""
    record = _record(line)
    if record is None:
        return line
    text = f"{record.get('level', '')} {record.get('message', '')}"
    exception = record.get("exception")
    return f"{text}\n{exception}" if exception else text


def dated(line: str, *, stamps: bool) -> str:
    """As `readable`, with the time and what the line is of.

    Args:
        stamps: Whether a line without a time gets the present one.
    """
    record = _record(line) or {}
    time = str(record.get("time", ""))[: len("2026-01-01T00:00:00.000")]
    if not time and stamps:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")[:23]
    named = "".join(f" {name}={record[name]}" for name in NAMED if record.get(name))
    head, *exception = readable(line).split("\n", 1)
    return "\n".join((f"{time} {head}{named}".lstrip(), *exception))


def is_news(line: str) -> bool:
    """Whether somebody who runs a stack wants to see the line at once."""
    record = _record(line)
    if record is not None:
        return record.get("level") in NEWS
    return not any(mark in line for mark in UNREMARKABLE)


def _record(line: str) -> dict[str, object] | None:
    if not line.startswith("{"):
        return None
    try:
        record: dict[str, object] = json.loads(line)
    except ValueError:
        return None
    return record


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


@asynccontextmanager
async def logged_stack(
    state: StateFolder,
    options: StackOptions,
    log_file: Path,
    on_line: LogLine = lambda _name, _line: None,
) -> AsyncIterator[Stack]:
    """Start everything, give it, and stop it at the end of the block; see `running_stack`.

    When it fails, the end of the log goes to stderr.

    Args:
        on_line: also hears every line, but for those that come before all is ready.

    Raises:
        PreconditionError: the state folder cannot be made or written, or is in use.
        UnavailableError: a process did not start; the message has its last line.
        StackFailedError: one ended again and again while the block was running.
    """
    try:
        state.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = StackLog(log_file)
    except OSError as error:
        raise folder_error(state.path, error) from error
    is_ready = False

    def hear(name: str, line: str) -> None:
        log.write(name, line)
        if is_ready:
            on_line(name, line)

    with log:
        try:
            async with running_stack(state, options, hear) as stack, failing_with(stack.runs()):
                is_ready = True
                yield stack
        except (UnavailableError, StackFailedError):
            if words := log.last_words():
                typer.echo(words, err=True)
            raise


@asynccontextmanager
async def failing_with(other: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `other` beside the block; when it fails, the block is cancelled and its error raised."""
    own, beside = asyncio.current_task(), asyncio.create_task(other)
    assert own is not None

    def end_block(ended: "asyncio.Task[None]") -> None:
        if not ended.cancelled() and ended.exception() is not None:
            own.cancel()

    beside.add_done_callback(end_block)
    try:
        yield
    except asyncio.CancelledError:
        if beside.done() and (error := beside.exception()) is not None:
            own.uncancel()
            raise error from None
        raise
    finally:
        beside.remove_done_callback(end_block)
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
