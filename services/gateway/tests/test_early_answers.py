"""An answer that comes before its request is complete arrives; the connection ends in bounds."""

import asyncio
import json
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio
from gateway_support.wire import Answer, RawClient, raw_client, serving_echo
from modelmill_gateway.adapters.http_protocol import KEEP_BYTES, ClientLimits
from modelmill_testkit.waiting import eventually

SENT_BYTES = 4 * 1024 * 1024
GET = b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = b"POST /early HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
MIB_CHUNK = b"100000\r\n" + bytes(0x100000) + b"\r\n"


def early(length: int) -> bytes:
    return f"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n".encode()


@pytest_asyncio.fixture
async def address() -> AsyncIterator[str]:
    async with serving_echo(ClientLimits(head_seconds=0.4, stall_seconds=0.4)) as (_, address):
        yield address


async def answer_while_sending(client: RawClient, piece: bytes, times: int) -> Answer:
    """The answer to a client that is told nothing until it has sent everything.

    The stream of asyncio forgets what it has read when a write fails: an answer that is overtaken
    by a reset is lost.
    """
    await client.begun()
    for _ in range(times):
        client.send(piece)
        await client.writer.drain()
        await asyncio.sleep(0)
    answer = await client.answer()
    assert answer.headers["connection"] == "close"
    assert await client.rest() == b""
    return answer


EARLY = {
    "401 with chunks": (CHUNKED, MIB_CHUNK, 401),
    "401 with a length": (early(10 * SENT_BYTES), bytes(0x100000), 401),
    "400": (b"nonsense\r\n\r\n", bytes(0x100000), 400),
    "431": (b"GET / HTTP/1.1\r\na: " + b"b" * 40_000, b"b" * 0x100000, 431),
    "408 of a head": (b"GET / HTTP/1.1\r\na: ", b"b", 408),
    "408 of a body": (b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n", b"b", 408),
}


@pytest.mark.parametrize(("head", "piece", "status"), EARLY.values(), ids=EARLY)
async def test_an_answer_that_comes_early_arrives_while_its_client_sends_on(
    address: str, head: bytes, piece: bytes, status: int
):
    async with raw_client(address) as client:
        client.send(head)
        assert (await answer_while_sending(client, piece, 4)).status == status


async def test_a_small_body_that_nobody_reads_does_not_cost_the_connection(address: str):
    async with raw_client(address) as client:
        client.send(early(KEEP_BYTES))
        first = await client.answer()
        client.send(bytes(KEEP_BYTES), GET)
        second = await client.answer()
    assert (first.status, second.status) == (401, 200)
    assert "connection" not in first.headers


async def test_who_was_refused_before_the_word_to_go_on_is_not_waited_for(address: str):
    async with raw_client(address) as client:
        client.send(early(5)[:-2] + b"expect: 100-continue\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert await client.rest() == b""


async def test_a_large_body_that_is_read_keeps_the_connection(address: str):
    async with raw_client(address) as client:
        client.send(CHUNKED.replace(b"early", b"echo"), MIB_CHUNK, b"0\r\n\r\n", GET)
        answers = [await client.answer() for _ in range(2)]
    assert len(json.loads(answers[0].body)["body"]) == 0x100000
    assert all("connection" not in answer.headers for answer in answers)


@pytest.mark.parametrize("sends", [False, True], ids=["silent", "sending for ever"])
async def test_a_client_that_does_not_go_is_left(
    address: str, sends: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("modelmill_gateway.adapters.http_protocol.LINGER_SECONDS", 1.0)
    monkeypatch.setattr("modelmill_gateway.adapters.http_protocol.QUIET_SECONDS", 0.2)
    async with raw_client(address) as client:
        client.send(CHUNKED)
        await client.answer()

        async def is_cut() -> bool:
            if sends and not client.writer.transport.is_closing():
                client.send(b"1\r\nx\r\n")
            return not connections_to(address)

        await eventually(is_cut, within=20)


async def test_a_connection_rests_no_longer_because_a_body_came_behind_the_answer():
    async with (
        serving_echo(ClientLimits(idle_seconds=0.2)) as (_, address),
        raw_client(address) as client,
    ):
        client.send(early(2))
        await client.answer()
        client.send(b"hi")
        assert await client.rest() == b""


def connections_to(address: str) -> list[object]:
    """The server's ends of connections; it runs in this process."""
    port = int(address.rsplit(":", 1)[1])
    return [
        each
        for each in psutil.Process().net_connections("tcp4")
        if each.laddr.port == port and each.raddr
    ]
