"""The socket at which a running instance takes orders of its owner, who alone can open it.

An order is one line of JSON. What comes of it is lines of JSON, the last of which has `done` or
`error`.
"""

import asyncio
import json
import os
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from modelmill_service_kit.errors import DomainError, PreconditionError
from modelmill_service_kit.process_supervisor import LogLine

from modelmill_cli.errors import RollingFailedError
from modelmill_cli.state_folder import StateFolder

Message = dict[str, Any]
Tell = Callable[[Message], Awaitable[None]]
"""Sends whoever gave the order a message."""
Obey = Callable[[Message, Tell], Awaitable[None]]

LONGEST_LINE = 64 << 10
REASONS = {each.reason: each for each in (PreconditionError, RollingFailedError)}


@asynccontextmanager
async def taking_orders(state: StateFolder, obey: Obey, on_line: LogLine) -> AsyncIterator[None]:
    """Obey, within the block, whoever may open the socket in the state folder.

    Args:
        on_line: hears of orders that came to no good end.
    """
    at_work: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        at_work.add(task)
        try:
            await _serve(reader, writer, obey, on_line)
        finally:
            at_work.discard(task)

    with socket.socket(socket.AF_UNIX) as listener:
        _near(state, listener.bind)
        server = await asyncio.start_unix_server(serve, sock=listener, limit=LONGEST_LINE)
        try:
            yield
        finally:
            server.close()
            for task in at_work:
                task.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, obey: Obey, on_line: LogLine
) -> None:
    async def tell(message: Message) -> None:
        writer.write(json.dumps(message).encode() + b"\n")
        with suppress(ConnectionError):  # an order that was begun is not left half done
            await writer.drain()

    def say(line: str) -> None:
        with suppress(OSError):  # whoever reads what we print may be gone
            on_line("mill", line)

    try:
        await obey(_order_in(await reader.readline()), tell)
        await tell({"done": True})
    except DomainError as error:
        say(str(error))
        await tell({"error": str(error), "reason": error.reason})
    except Exception as error:  # a bug or a full disk; whoever gave the order hears of it
        say("".join(traceback.format_exception(error)).rstrip())
        failed = RollingFailedError(
            f"the order was not obeyed to its end ({error!r}). Mend what up.log in the state folder"
            " says, and repeat"
        )
        await tell({"error": str(failed), "reason": failed.reason})
    finally:
        writer.close()


def _order_in(line: bytes) -> Message:
    try:
        order = json.loads(line)
    except ValueError as error:
        raise PreconditionError(f"the order cannot be read: {error}. Send a line of JSON") from None
    if not isinstance(order, dict):
        raise PreconditionError("the order cannot be read: it is no object. Send a line of JSON")
    return order


async def give_order(state: StateFolder, order: Message) -> AsyncIterator[Message]:
    """Have the instance on the folder do something; what it says meanwhile.

    Raises:
        PreconditionError: nobody takes orders there, or this one is refused.
        RollingFailedError: it was begun, and did not come to its end.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            _near(state, connection.connect)
        except (FileNotFoundError, ConnectionRefusedError):
            raise PreconditionError(
                f"the mill on {state.path} takes no orders. Stop it, and start it again"
            ) from None
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LONGEST_LINE)
        try:
            writer.write(json.dumps(order).encode() + b"\n")
            while line := await reader.readline():
                message: Message = json.loads(line)
                if message.get("done"):
                    return
                if "error" in message:
                    raise REASONS.get(message.get("reason", ""), RollingFailedError)(
                        message["error"]
                    )
                yield message
        finally:
            writer.close()
    raise RollingFailedError(
        "the mill ended meanwhile. Start it with `mill up`, and look at up.log in the state folder"
    )


def _near(state: StateFolder, use: Callable[[str], None]) -> None:
    """Call `use` with a path of the socket that is short enough for the kernel (108 bytes)."""
    folder = os.open(state.orders.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        use(f"/proc/self/fd/{folder}/{state.orders.name}")
    finally:
        os.close(folder)
