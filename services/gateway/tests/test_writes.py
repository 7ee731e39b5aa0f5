"""What is ready at once leaves in one write, all of it, and no more than the socket takes."""

import asyncio
import json
import socket
import struct
import sys
from typing import Any

import pytest
from gateway_support.house import House
from gateway_support.process import running
from modelmill_gateway.adapters.http_server import serve_http
from modelmill_testkit.waiting import eventually

PARTS_AT = 152
"""Where Linux's `tcp_info` counts segments with data that came in: one for each write."""
LAST_CHUNK = b"0\r\n\r\n"
PIECE, PIECES = b"x" * 1024, 30_000
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"x")]}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's count of segments")


def asked(port: int, token: str, *, stream: bool) -> tuple[bytes, int]:
    """The answer as it came, and in how many writes."""
    turns = [{"role": "user", "content": "hello"}]
    body = json.dumps({"model": "default", "messages": turns, "stream": stream}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        f"authorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(10)
        connection.sendall(head.encode() + body)
        said = b""
        while not said.endswith(LAST_CHUNK if stream else b"}"):
            said += connection.recv(1 << 16)
        counted = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    return said, struct.unpack_from("I", counted, PARTS_AT)[0]


async def test_headers_opening_and_first_words_leave_in_one_write(own_house: House):
    own_house.inference.pieces = ["hello"]
    async with running(own_house) as (service, _client):
        port, token = service.ports["http"], own_house.issuer.token()
        whole, writes = await asyncio.to_thread(asked, port, token, stream=False)
        assert (b"hello" in whole, writes) == (True, 1)

        streamed, writes = await asyncio.to_thread(asked, port, token, stream=True)
        assert streamed.count(b"data: ") == 4
        # The end is a message of its own from inference, and may come with the words or behind.
        assert writes <= 2


async def test_an_answer_that_ends_its_connection_is_whole():
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": PIECE})

    async with serve_http(app, "127.0.0.1:0", drain_seconds=1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        said = await reader.read()
        writer.close()

    assert said.count(PIECE) == 1
    assert said.endswith(LAST_CHUNK)


async def test_who_writes_without_a_pause_waits_for_a_client_that_does_not_read():
    sent = 0

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        nonlocal sent
        await send(START)
        while sent < PIECES:
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            sent += 1
        await send({"type": "http.response.body", "body": b""})

    async with serve_http(app, "127.0.0.1:0", drain_seconds=1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await eventually(lambda: sent > 0)
        held = sent
        assert held < PIECES
        taken = 0
        while not (said := await reader.read(1 << 20)).endswith(LAST_CHUNK):
            taken += len(said)
        writer.close()

    assert taken + len(said) > PIECES * len(PIECE)
