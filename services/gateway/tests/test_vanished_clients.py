"""A hundred clients who leave at once: generation stops, and nothing of them is left anywhere."""

import asyncio
import json
from collections import Counter
from contextlib import suppress

import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.house import House
from modelmill_gateway.metrics import ACTIVE_STREAMS, ADMISSION_WAITING, TOKENS_IN_HAND
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIENTS = 100
OF_OTHERS = ("Subscription.", "Queue.", "AioServer.", "_schedule_rpc_coro", "_handle_exceptions")
"""Tasks of the bus's client, and of gRPC servers here, whose health is watched when it is asked."""
QUESTION = {
    "model": "default",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 1000,
}


def tokens_in_hand() -> float:
    return float(TOKENS_IN_HAND.collect()[0].samples[0].value)


async def ask(house: House, *, stream: bool) -> asyncio.StreamWriter:
    """A request whose answer has begun, where that can be seen."""
    body = json.dumps(QUESTION | {"stream": stream}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        f"authorization: Bearer {house.issuer.token(tenant='leavers')}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    host, port = house.settings.http_address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body)
    if stream:
        await reader.readuntil(b"Hello")
    return writer


async def leave(writers: list[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.transport.abort()
    for writer in writers:
        with suppress(ConnectionError):
            await writer.wait_closed()


def tasks() -> Counter[str]:
    """How many there are by name, but those that come and go by themselves."""
    names = [str(task.get_coro().__qualname__) for task in asyncio.all_tasks()]
    return Counter(name for name in names if not name.startswith(OF_OTHERS))


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.tier("test")
async def test_nothing_is_left_of_a_hundred_clients_who_leave_at_once(house: House, stream: bool):
    house.inference.endless = True
    # What begins with the first call, and stays.
    await leave([await ask(house, stream=True)])
    await eventually(lambda: house.inference.cancelled and not house.inference.in_flight)
    before, cancelled = tasks(), house.inference.cancelled
    writers = [await ask(house, stream=stream) for _ in range(CLIENTS)]
    await eventually(lambda: house.inference.in_flight == CLIENTS)
    assert ACTIVE_STREAMS._value.get() == (CLIENTS if stream else 0)
    assert tokens_in_hand() > CLIENTS * 1000

    await leave(writers)

    await eventually(lambda: house.inference.in_flight == 0)
    assert house.inference.cancelled == cancelled + CLIENTS
    await eventually(lambda: ACTIVE_STREAMS._value.get() == 0)
    await eventually(lambda: tokens_in_hand() == 0)
    with suppress(AssertionError):
        await eventually(lambda: tasks() <= before)
    assert tasks() - before == Counter()


async def test_nothing_is_left_of_those_who_leave_the_queue(house: House):
    house.inference.endless = True
    async with another_gateway(house, tokens_in_hand=1100) as small:
        first = await ask(small.house, stream=True)
        # Nothing is known yet of how fast room comes free, so that one more may wait.
        waiting = [await ask(small.house, stream=False)]
        await eventually(lambda: ADMISSION_WAITING._value.get() == 1)
        await leave(waiting)
        await eventually(lambda: ADMISSION_WAITING._value.get() == 0)
        assert house.inference.in_flight == 1
        await leave([first])
        await eventually(lambda: house.inference.in_flight == 0)
        await eventually(lambda: tokens_in_hand() == 0)
