"""JSON lines from and to the process that started this one; its side is `child_process`."""

import json
import select
import socket
from collections.abc import Iterator
from typing import Any

READ_BYTES = 1 << 16


class ParentGoneError(Exception):
    """Nobody is there to generate for."""


class ParentSocket:
    """Lines from and to the parent.

    Args:
        descriptor: file descriptor of this side of the socket pair.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._rest = b""

    def send(self, message: dict[str, Any]) -> None:
        """Send one message; ParentGoneError."""
        try:
            self._socket.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        except OSError as error:
            raise ParentGoneError from error

    def receive(self, *, wait: bool) -> Iterator[dict[str, Any]]:
        """Messages that are there; with `wait` at least one comes. ParentGoneError."""
        while b"\n" not in self._rest:
            if not wait and not select.select([self._socket], [], [], 0)[0]:
                return
            received = self._read()
            if not received:
                raise ParentGoneError
            self._rest += received
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            yield json.loads(line)

    def _read(self) -> bytes:
        try:
            return self._socket.recv(READ_BYTES)
        except OSError as error:
            raise ParentGoneError from error
