"""The process in which foreign code of models runs: `python -m tokenization.bounded.child <fd>`.

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
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from service_kit.errors import InvalidInputError

from tokenization.bounded.frames import HEAD, frame
from tokenization.bounded.limits import MAX_ANSWER_BYTES, MAX_MESSAGE_CHARACTERS
from tokenization.bounded.operations import (
    OPERATIONS,
    Answer,
    OpenFolder,
    ReadFolder,
    open_folder,
    read_folder,
)

PAGE = resource.getpagesize()
MAX_FILES = 64


class Desk:
    """Answers requests; keeps tokenizers that were loaded."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, OpenFolder] = OrderedDict()
        self._read: ReadFolder | None = None
        """What the next request loads."""

    def answer(self, asked: dict[str, Any]) -> bytes:
        """One frame; whatever foreign code raises becomes an error in it."""
        began = time.process_time()
        _limit(asked["cpu_seconds"], asked["memory_bytes"])
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
        return frame(said, body)

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

    def _drop(self, most_bytes: int, most_folders: int) -> None:
        """Let go of tokenizers that were not used lately; the last one stays."""
        while len(self._open) > 1 and (len(self._open) > most_folders or _resident() > most_bytes):
            self._open.popitem(last=False)


def _limit(cpu_seconds: float, memory_bytes: int) -> None:
    """For the request that begins; by default the signal ends the process, whatever runs."""
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = _memory_pages(0) * PAGE + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))


def _resident() -> int:
    return _memory_pages(1) * PAGE


def _memory_pages(column: int) -> int:
    return int(Path("/proc/self/statm").read_text().split()[column])


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


def serve(link: socket.socket) -> None:
    """Answer until the other side hangs up."""
    desk = Desk()
    link.sendall(frame({"cpu_total": time.process_time()}))
    while head := _read(link, HEAD.size):
        length, body = HEAD.unpack(head)
        asked = json.loads(_read(link, length))
        _read(link, body)
        answer = desk.answer(asked)
        signal.setitimer(signal.ITIMER_PROF, 0)
        link.sendall(answer)


def _read(link: socket.socket, length: int) -> bytes:
    """So many bytes; none once nobody is there."""
    got = bytearray()
    while len(got) < length:
        piece = link.recv(min(length - len(got), 1 << 20))
        if not piece:
            return b""
        got += piece
    return bytes(got)


def main() -> None:
    """Run as a process."""
    link = socket.socket(fileno=int(sys.argv[1]))
    confine()
    # The parent may go at any time.
    with contextlib.suppress(OSError):
        serve(link)


if __name__ == "__main__":
    main()
