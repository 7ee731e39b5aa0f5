"""JSON-lines channel to the parent process.

The other end is `modelmill_service_kit.child_process`.
"""

import json
import os
import select
import sys
from collections.abc import Iterator
from typing import Any

READ_BYTES = 1 << 16
STDIN = 0


class ParentGoneError(Exception):
    """The parent has ended."""


class ParentPipe:
    """The child's end of the channel."""

    def __init__(self) -> None:
        self._reports = int(sys.argv[1])
        os.set_inheritable(self._reports, False)
        self._rest = b""

    def send(self, message: dict[str, Any]) -> None:
        """Send a message. Raises ParentGoneError."""
        line = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        try:
            while line:
                line = line[os.write(self._reports, line) :]
        except OSError as error:
            raise ParentGoneError from error

    def receive(self, *, wait: bool) -> Iterator[dict[str, Any]]:
        """Received messages; with `wait`, at least one. Raises ParentGoneError."""
        while b"\n" not in self._rest:
            if not wait and not select.select([STDIN], [], [], 0)[0]:
                return
            received = os.read(STDIN, READ_BYTES)
            if not received:
                raise ParentGoneError
            self._rest += received
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            yield json.loads(line)
