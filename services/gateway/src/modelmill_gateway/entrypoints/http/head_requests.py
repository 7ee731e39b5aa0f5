"""HEAD: what GET would answer, without its body."""

from starlette.types import Message, Scope, Send


def as_get(scope: Scope, send: Send) -> tuple[Scope, Send]:
    """The request as GET, and a way out on which the answer ends with its head.

    Whoever streams hears from the server that the request has ended, as when its client leaves.
    """
    has_ended = False

    async def send_head(message: Message) -> None:
        nonlocal has_ended
        if has_ended:
            return
        has_ended = True
        await send(message)
        await send({"type": "http.response.body", "body": b""})

    return {**scope, "method": "GET"}, send_head
