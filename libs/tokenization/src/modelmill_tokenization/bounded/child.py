"""The process in which foreign code of models runs: `python -m modelmill_tokenization.bounded.child
<fd>`.

It does one request at a time. Before each the kernel is told how much CPU time and memory it may
take; past the first it ends the process, past the second allocations fail. A child whose parent is
gone reads the end of its socket, and leaves; while it works, it lives as long as its limit.
"""

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from modelmill_tokenization.bounded.frames import HEAD, frame
from modelmill_tokenization.bounded.limits import MAX_ANSWER_BYTES, MAX_MESSAGE_CHARACTERS
from modelmill_tokenization.bounded.operations import (
    OPERATIONS,
    Answer,
    OpenFolder,
    ReadFolder,
    open_folder,
    read_folder,
)

PAGE = resource.getpagesize()
MAX_FILES = 64
READ_BYTES = 1 << 18
STACK_BYTES = 8 << 20
Said = tuple[dict[str, Any], bytes]
"""An answer, to be made a frame."""


class Desk:
    """Answers requests; keeps tokenizers that were loaded."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, OpenFolder] = OrderedDict()
        self._read: ReadFolder | None = None
        """What the next request loads."""
        self._memory_bytes = -1
        """What requests may add; -1 once that has to be counted from a new beginning."""

    def answer(self, asked: dict[str, Any]) -> Said:
        """What to say; whatever foreign code raises becomes an error in it."""
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, asked["cpu_seconds"])
        self._limit_memory(asked["memory_bytes"], may_grow=asked["do"] in ("read", "load"))
        body = b""
        try:
            value, body = self._do(asked)
            said: dict[str, Any] = {"value": value}
            if len(body) > MAX_ANSWER_BYTES:
                raise InvalidInputError("the model's tokenizer makes more tokens than are allowed")
        except InvalidInputError as error:
            said = {"errors": [text[:MAX_MESSAGE_CHARACTERS] for text in error.errors]}
        except MemoryError:
            said = {"limit": "memory"}
        # A panic of the Rust library is no Exception.
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"[:MAX_MESSAGE_CHARACTERS]
            said = {"errors": [f"the model's tokenizer or chat template failed: {text}"]}
        if "value" not in said:
            body = b""
        said["open"] = [*self._open]
        said["cpu_total"] = time.process_time()
        said["cpu"] = said["cpu_total"] - began
        if said["cpu"] > asked["cpu_seconds"] / 2:
            # Else it stays: waiting takes no CPU time, and the next request sets it anew.
            signal.setitimer(signal.ITIMER_PROF, 0)
        return said, body

    def _do(self, asked: dict[str, Any]) -> Answer:
        folder = asked["folder"]
        if asked["do"] == "read":
            self._read = None if folder in self._open else read_folder(Path(folder))
            return Answer()
        if folder not in self._open:
            read, self._read = self._read, None
            if read is None or str(read.folder) != folder:
                raise InvalidInputError("the tokenizer has not been read")
            self._open[folder] = open_folder(read)
            self._drop(asked["kept_bytes"], asked["kept_folders"])
        self._open.move_to_end(folder)
        return OPERATIONS[asked["do"]](self._open[folder], asked)

    def _limit_memory(self, memory_bytes: int, *, may_grow: bool) -> None:
        """For the request that begins; looked up anew only behind those that may keep memory."""
        if memory_bytes != self._memory_bytes:
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (_memory(0) + memory_bytes, hard))
        self._memory_bytes = -1 if may_grow else memory_bytes

    def _drop(self, most_bytes: int, most_folders: int) -> None:
        """Let go of tokenizers that were not used lately; the last one stays."""
        while len(self._open) > 1 and (len(self._open) > most_folders or _memory(1) > most_bytes):
            self._open.popitem(last=False)


def _memory(column: int) -> int:
    """Bytes of address space (0) or in memory (1)."""
    return int(Path("/proc/self/statm").read_text().split()[column]) * PAGE


def confine() -> None:
    """What holds for the whole life of the process."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    # Ctrl-C reaches the whole group; the parent says when to leave, by hanging up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)):
        resource.setrlimit(kind, (most, most))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
    # What libraries print of a panic may hold what callers wrote.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    threading.stack_size(STACK_BYTES)


class Worker(threading.Thread):
    """Answers in a thread whose priority the other side may lower while a request takes long.

    Nobody can give a thread its priority back, so one that was lowered leaves its answer to the
    next.

    Args:
        unsent: what it says first.
    """

    def __init__(self, link: socket.socket, desk: Desk, unsent: Said) -> None:
        super().__init__()
        self._link = link
        self._desk = desk
        self.unsent: Said | None = unsent
        """The answer that it leaves; None: the other side hung up."""

    def run(self) -> None:
        own = os.getpriority(os.PRIO_PROCESS, 0)
        # The parent may go at any time.
        with contextlib.suppress(OSError):
            while self.unsent is not None and os.getpriority(os.PRIO_PROCESS, 0) == own:
                (said, body), self.unsent = self.unsent, None
                said["thread"] = self.native_id
                self._link.sendall(frame(said, body))
                asked = _received(self._link)
                self.unsent = self._desk.answer(asked) if asked else None


def _received(link: socket.socket) -> dict[str, Any]:
    """The next request; empty once the other side hung up."""
    got = bytearray()
    while len(got) < (length := _length(got)):
        piece = link.recv(READ_BYTES)
        if not piece:
            return {}
        got += piece
    asked: dict[str, Any] = json.loads(got[HEAD.size : length])
    return asked


def _length(got: bytearray) -> int:
    """Of the request that begins there; requests have no body."""
    return HEAD.size + (HEAD.unpack_from(got)[0] if len(got) >= HEAD.size else 0)


def main() -> None:
    """Run as a process."""
    link = socket.socket(fileno=int(sys.argv[1]))
    confine()
    desk = Desk()
    unsent: Said | None = {"cpu_total": time.process_time()}, b""
    while unsent is not None:
        worker = Worker(link, desk, unsent)
        worker.start()
        worker.join()
        unsent = worker.unsent


if __name__ == "__main__":
    main()
