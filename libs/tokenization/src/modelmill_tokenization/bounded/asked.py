"""A bounded process that is asked for one thing at a time, by who waits for it."""

import json
import socket
import subprocess
import weakref
from collections.abc import Mapping
from typing import Any

from modelmill_tokenization.bounded.frames import HEAD, frame
from modelmill_tokenization.bounded.process import Reply
from modelmill_tokenization.bounded.spawn import CHILD, spawn

START_SECONDS = 60.0


class AskedProcess:
    """One that runs `module`; it is ended when nobody uses it any more."""

    def __init__(self, module: str = CHILD) -> None:
        self._link, theirs = socket.socketpair()
        try:
            self.process = spawn(theirs, module)
        finally:
            theirs.close()
        self._end = weakref.finalize(self, _end, self._link, self.process)
        self._receive(START_SECONDS)

    def ask(self, head: Mapping[str, Any], seconds: float) -> Reply:
        """Its answer; TimeoutError, ConnectionError."""
        self._link.settimeout(seconds)
        self._link.sendall(frame(head))
        return self._receive(seconds)

    def kill(self) -> int:
        """End it; its exit status."""
        self._end()
        return self.process.wait()

    def _receive(self, seconds: float) -> Reply:
        self._link.settimeout(seconds)
        length, body = HEAD.unpack(self._read(HEAD.size))
        return Reply(json.loads(self._read(length)), self._read(body))

    def _read(self, length: int) -> bytes:
        got = bytearray(length)
        view = memoryview(got)
        while view:
            count = self._link.recv_into(view)
            if not count:
                raise ConnectionError("the process is gone")
            view = view[count:]
        return bytes(got)


def _end(link: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    link.close()
    try:
        # One that passed a limit ends by itself; what it says of that is asked for.
        process.wait(0.2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
