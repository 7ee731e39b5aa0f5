"""Clients that send or take too slowly lose their connection, and nothing of them is left."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from gateway_support.another_gateway import another_gateway
from gateway_support.certificates import CertificateFiles
from gateway_support.house import House
from gateway_support.process import running
from modelmill_gateway.metrics import ACTIVE_STREAMS, SLOW_CLIENTS
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD_SECONDS, STALL_SECONDS = 0.4, 0.5
LONG = 60.0
CONNECTIONS = 8


@pytest_asyncio.fixture(loop_scope="module")
async def strict(house: House) -> AsyncIterator[House]:
    """A gateway with little patience."""
    limits = {
        "head_seconds": HEAD_SECONDS,
        "stall_seconds": STALL_SECONDS,
        "max_connections": CONNECTIONS,
    }
    async with another_gateway(house, **limits) as other:
        yield other.house


@asynccontextmanager
async def connected(
    house: House, buffer_bytes: int = 0
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = house.settings.http_address.split(":")
    connection = socket.socket()
    if buffer_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    connection.connect((host, int(port)))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1024)
    try:
        yield reader, writer
    finally:
        writer.close()


def request(house: House, body: dict[str, object], length: int | None = None) -> bytes:
    content = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        f"authorization: Bearer {house.issuer.token()}\r\n"
        f"content-length: {length or len(content)}\r\n\r\n"
    )
    return head.encode() + content


QUESTION: dict[str, object] = {
    "model": "default",
    "messages": [{"role": "user", "content": "hello"}],
}


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nhost"], ids=["nothing", "a part"])
async def test_a_head_that_does_not_come_in_time_ends_the_connection(strict: House, sent: bytes):
    async with connected(strict) as (reader, writer):
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(), LONG)

    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_head_that_trickles_is_no_better_than_none(strict: House):
    async def trickle(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"a")
            await asyncio.sleep(0.02)

    async with connected(strict) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nx: ")
        trickling = asyncio.create_task(trickle(writer))
        answer = await asyncio.wait_for(reader.read(), LONG)
        trickling.cancel()

    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_stalls_ends_the_request(strict: House):
    async with connected(strict) as (reader, writer):
        writer.write(request(strict, QUESTION, length=1000))
        answer = await asyncio.wait_for(reader.read(), LONG)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert strict.inference.requests == []


async def test_a_connection_may_rest_between_two_requests(strict: House):
    async with connected(strict) as (reader, writer):
        for _ in range(2):
            writer.write(request(strict, QUESTION))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            assert head.startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(2 * HEAD_SECONDS)


async def test_an_answer_that_takes_its_time_is_not_the_clients_fault(strict: House):
    strict.inference.endless = True
    async with connected(strict) as (reader, writer):
        writer.write(request(strict, QUESTION | {"stream": True}))
        ends_at = asyncio.get_running_loop().time() + 3 * STALL_SECONDS
        while asyncio.get_running_loop().time() < ends_at:
            assert await reader.read(1024)


async def test_a_client_that_does_not_read_loses_its_stream_and_frees_its_place(strict: House):
    strict.inference.pieces = ["x" * 4000] * 5000
    strict.inference.endless = True
    before = SLOW_CLIENTS.labels("answer")._value.get()
    async with connected(strict, buffer_bytes=4096) as (_, writer):
        writer.transport.pause_reading()
        writer.write(request(strict, QUESTION | {"stream": True}))
        await eventually(lambda: strict.inference.in_flight == 1)
        await eventually(lambda: strict.inference.in_flight == 0)

    assert strict.inference.cancelled == 1
    assert SLOW_CLIENTS.labels("answer")._value.get() == before + 1
    await eventually(lambda: ACTIVE_STREAMS._value.get() == 0)


async def test_one_connection_too_many_is_told_to_come_back(strict: House):
    probe = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    writers = []
    try:
        answers = []
        for _ in range(CONNECTIONS + 1):
            host, port = strict.settings.http_address.split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writers.append(writer)
            writer.write(probe)
            answers.append(await reader.readuntil(b"\r\n\r\n"))
    finally:
        for writer in writers:
            writer.close()

    assert {answer[:12] for answer in answers[:-1]} == {b"HTTP/1.1 200"}
    assert answers[-1].startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 2" in answers[-1]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_gateways_own_event_loop_cuts_them_too(house: House, tmp_path: Path, tls: bool):
    files = CertificateFiles.inside(tmp_path)
    pair = {"tls_certificate_path": str(files.certificate), "tls_key_path": str(files.key)}
    trust = ssl.create_default_context(cafile=files.certificate) if tls else None
    house.inference.pieces = ["x" * 4000] * 5000
    house.inference.endless = True
    # A busy machine takes its time for a handshake and a head.
    limits = {"head_seconds": "6", "stall_seconds": str(STALL_SECONDS)}
    async with running(house, **limits, **(pair if tls else {})) as (service, _):
        port = service.ports["http"]
        silent, quiet = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, limit=1024)
        writer.transport.pause_reading()
        writer.write(request(house, QUESTION | {"stream": True}))
        await eventually(lambda: house.inference.in_flight == 1)
        await eventually(lambda: house.inference.in_flight == 0)
        answer = await asyncio.wait_for(silent.read(), LONG)
        for each in (quiet, writer):
            each.transport.abort()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert house.inference.cancelled == 1
