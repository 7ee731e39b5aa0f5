"""What is written to a socket in one turn of the event loop leaves in one write.

uvloop writes at once whatever it is given. Of an answer head and body are given one after the
other, of a stream the head, its opening and its first words.
"""

import asyncio
from typing import Any

MOST_BYTES = 64 * 1024
"""Who writes on without a pause is written out by this much, so that the socket can say stop."""


class TickWriter(asyncio.Transport):
    """A transport that gathers what is written until the loop's turn is over."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self._size = 0
        self.is_closing = transport.is_closing  # type: ignore[method-assign]
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]
        self.get_write_buffer_size = transport.get_write_buffer_size  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]
        self.set_protocol = transport.set_protocol  # type: ignore[method-assign]

    def write(self, data: Any) -> None:
        """Gather it."""
        if not self._waiting:
            self._loop.call_soon(self._write_out)
        self._waiting.append(data)
        self._size += len(data)
        if self._size > MOST_BYTES:
            self._write_out()

    def close(self) -> None:
        """Write what is gathered, then end."""
        self._write_out()
        self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self._waiting.clear()
        self._transport.abort()

    def _write_out(self) -> None:
        waiting = self._waiting
        if waiting:
            data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
            waiting.clear()
            self._size = 0
            self._transport.write(data)
