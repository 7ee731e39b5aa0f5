"""The end of a connection whose client may still be sending.

Closing a socket that holds unread bytes makes the kernel reset the connection, and a reset takes
the answer with it that the client has not read yet. Hence: say that nothing more comes, and read
on for a while.
"""

import asyncio
from collections.abc import Callable
from typing import Any

MOST_BYTES = 64 * 1024
"""Who writes on without a pause is written out by this much, so that the socket can say stop."""


class TickWriter(asyncio.Transport):
    """Buffered transport: what is written in one turn of the event loop leaves in one write.

    uvloop writes at once whatever it is given. Of an answer head and body are given one after the
    other, of a stream the head, its opening and its first words.
    """

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


LINGER_SECONDS = 30.0
"""For which a client may go on sending what nobody will read."""
QUIET_SECONDS = 2.0
"""After which one that sends nothing has nothing more to send."""
LINGER_BYTES = 64 * 1024 * 1024
"""That are read so."""


class LingeringWriter(TickWriter):
    """Transport that is half-closed first where the client may still be sending.

    Args:
        may_get_more: asked at the end: whether the client may be in the middle of a request.
        on_lingering: called when nothing can be written any more, but reading goes on. Who reads
            then drops what comes, and aborts when it is enough.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        may_get_more: Callable[[], bool],
        on_lingering: Callable[[], None],
    ) -> None:
        super().__init__(transport, loop)
        self._may_get_more = may_get_more
        self._on_lingering = on_lingering
        self._is_lingering = False

    def close(self) -> None:
        """Write what is gathered, then end."""
        if self._is_lingering:
            return
        if self.is_closing() or not self._may_get_more():
            super().close()
            return
        self._write_out()
        self._is_lingering = True
        self.is_closing = _yes  # type: ignore[method-assign]
        self.write = _drop  # type: ignore[method-assign,assignment]
        # TLS cannot end one direction alone: there the answer's own length says where it ends.
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._on_lingering()


def _yes() -> bool:
    return True


def _drop(_data: Any) -> None:
    """What is written after the end goes nowhere."""
