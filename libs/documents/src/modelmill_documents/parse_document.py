"""Parses documents in a child process with limits of memory, time and output."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from modelmill_service_kit.child_process import environment_for_children

from modelmill_documents.document_blocks import DocumentBlock, ParseLimits
from modelmill_documents.document_format import DocumentFormat
from modelmill_documents.errors import (
    DamagedDocumentError,
    DocumentTooLargeError,
    DocumentTooSlowError,
    error_of,
)

CHILD = "modelmill_documents.child"
MAX_CHILDREN = 2
"""Of one document: people and the kernel kill for other reasons, too."""
_CHUNK_BYTES = 1 << 16
_STARTING_SECONDS = 60.0
"""More for the first document of a process, which loads its library."""


class DocumentParser:
    """Reads documents one after the other. The process is started with the first and used again;
    after a document that ended it there is a fresh one.
    """

    def __init__(self, limits: ParseLimits = ParseLimits()) -> None:  # noqa: B008 - it is frozen
        self._limits = limits
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def blocks(self, path: Path, document_format: DocumentFormat) -> list[DocumentBlock]:
        """The whole text of a document: all of it or an error.

        Raises:
            DocumentError: The document is refused; the class says why.
            OSError: There is no such file.
        """
        size = path.stat().st_size
        if size > self._limits.file_bytes:
            raise DocumentTooLargeError(
                f"the document has more than {self._limits.file_bytes} bytes. Divide it"
            )
        for _ in range(MAX_CHILDREN):
            try:
                return list(self._read(path, document_format))
            except _KilledError:
                continue
        raise DamagedDocumentError("the process that reads it was killed twice. Divide it")

    def _read(self, path: Path, document_format: DocumentFormat) -> Iterator[DocumentBlock]:
        seconds = self._limits.wall_seconds
        if self._child is None:
            self._child = _Child(self._limits.memory_bytes)
            seconds += _STARTING_SECONDS
        child = self._child
        child.ask(
            {
                "path": str(path.absolute()),
                "format": document_format,
                "cpu_seconds": self._limits.cpu_seconds,
                "text_bytes": self._limits.text_bytes,
            }
        )
        is_whole = False
        try:
            for message in child.messages(time.monotonic() + seconds):
                if isinstance(message, list):
                    yield DocumentBlock(*message)
                    continue
                is_whole = True
                if "reason" in message:
                    raise error_of(message["reason"], message["message"])
                return
            self._raise_ending(child.ending())
        except TimeoutError:
            raise DocumentTooSlowError(
                f"reading the document takes more than {self._limits.wall_seconds:g} s. Divide it"
            ) from None
        finally:
            if not is_whole or child.has_ended:
                self._end()

    def _raise_ending(self, status: int) -> None:
        if status == -signal.SIGXCPU:
            raise DocumentTooSlowError(
                f"reading the document takes more than {self._limits.cpu_seconds} s of a core."
                " Divide it"
            )
        if status == -signal.SIGKILL:
            raise _KilledError
        raise DamagedDocumentError(
            "the document ended the process that read it. Save it again from the program that"
            " made it"
        )

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.close()


class _KilledError(Exception):
    """Something else ended the process."""


class _Child:
    """A running child process."""

    def __init__(self, memory_bytes: int) -> None:
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", CHILD, str(writing), str(memory_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(writing,),
                env=environment_for_children(),
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._reading = reading
        self._rest = b""

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def ask(self, request: dict[str, Any]) -> None:
        """A child that is gone is heard of by its messages, which end."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def messages(self, deadline: float) -> Iterator[Any]:
        """What it says, until it ends.

        Raises:
            TimeoutError: It is silent or goes on at the deadline.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._reading, selectors.EVENT_READ)
            while True:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise TimeoutError
                chunk = os.read(self._reading, _CHUNK_BYTES)
                if not chunk:
                    return
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)

    def ending(self) -> int:
        """Exit status of a child that has closed its pipe."""
        try:
            return self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return 0

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        os.close(self._reading)
