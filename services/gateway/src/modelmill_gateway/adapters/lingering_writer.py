"""The end of a connection whose client may still be sending.

Closing a socket that holds unread bytes makes the kernel reset the connection, and a reset takes
the answer with it that the client has not read yet. Hence: say that nothing more comes, and read
on for a while.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from modelmill_gateway.adapters.tick_writer import TickWriter

LINGER_SECONDS = 30.0
"""For which a client may go on sending what nobody will read."""
QUIET_SECONDS = 2.0
"""After which one that sends nothing has nothing more to send."""
LINGER_BYTES = 64 * 1024 * 1024
"""That are read so."""


class LingeringWriter(TickWriter):
    """A transport that is closed for writing first where more may come.

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
