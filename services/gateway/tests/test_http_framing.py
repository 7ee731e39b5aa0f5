"""What belongs to the framing of a request is bounded, and never becomes part of what it says."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from gateway_support.wire import Echo, RawClient, raw_client, serving_echo
from modelmill_gateway.adapters.http_protocol import MAX_PIPELINED, ClientLimits
from modelmill_gateway.adapters.message_bounds import MAX_FRAMING_BYTES, MAX_HEAD_BYTES
from modelmill_testkit.waiting import eventually

CHUNKED = b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
GET = b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n"
STREAM = b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n"
HASTY = ClientLimits(head_seconds=0.4, stall_seconds=0.4)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[tuple[Echo, str]]:
    async with serving_echo() as (app, address):
        yield app, address


@pytest_asyncio.fixture
async def client(served: tuple[Echo, str]) -> AsyncIterator[RawClient]:
    async with raw_client(served[1]) as connected:
        yield connected


@pytest.mark.parametrize("split", [False, True], ids=["at once", "byte by byte"])
async def test_a_trailer_is_no_header_of_its_request_nor_of_the_next(
    client: RawClient, split: bool
):
    trailers = b"authorization: Bearer stolen\r\nx-request-timeout: 1\r\nhost: y\r\n"
    sent = CHUNKED + b"2\r\nhi\r\n0\r\n" + trailers + b"\r\n" + GET
    client.send(*([bytes([byte]) for byte in sent] if split else [sent]))

    first, second = [json.loads((await client.answer()).body) for _ in range(2)]
    assert first == {"headers": {"host": "x", "transfer-encoding": "chunked"}, "body": "hi"}
    assert second == {"headers": {"host": "x"}, "body": ""}


async def test_chunk_extensions_are_ignored_while_they_are_few(client: RawClient):
    client.send(CHUNKED + b"2;name=value\r\nhi\r\n0;last\r\n\r\n")
    assert json.loads((await client.answer()).body)["body"] == "hi"


FILLER = b"e" * (MAX_FRAMING_BYTES + MAX_HEAD_BYTES)
FRAMINGS = {
    "an extension": b"2;" + FILLER,
    "many extensions": (b"1;" + b"e" * 500 + b"\r\nx\r\n") * 200,
    "zeros before a size": b"0" * len(FILLER),
    "a trailer": b"0\r\nx: " + FILLER,
    "many trailers": b"0\r\n" + b"x: y\r\n" * 20_000,
}


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
async def test_framing_that_outweighs_its_body_ends_the_connection(
    client: RawClient, framing: bytes
):
    client.send(CHUNKED + framing)
    answer = await client.answer()
    assert answer.status == 400
    assert "chunk extensions and trailers" in json.loads(answer.body)["error"]["message"]
    assert await client.rest() == b""


async def test_many_small_chunks_are_no_excess(client: RawClient):
    client.send(CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
    assert json.loads((await client.answer()).body)["body"] == "x" * 20_000


@pytest.mark.parametrize("drip", [b";e", b"0"], ids=["extension", "size"])
async def test_bytes_that_are_no_content_do_not_count_as_progress(drip: bytes):
    async with serving_echo(HASTY) as (_, address), raw_client(address) as client:
        client.send(CHUNKED + b"1\r\nx\r\n0")
        dripping = asyncio.create_task(drips(client, drip))
        answer = await client.answer()
        dripping.cancel()
    assert answer.status == 408


async def drips(client: RawClient, drip: bytes) -> None:
    """Goes on sending at 5 kB a second, far above the rate below which a client is cut."""
    while True:
        client.send(drip * 100)
        await asyncio.sleep(0.02)


REFUSED_HEADS = {
    "no host": (b"GET /echo HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /echo HTTP/1.1\r\nhost: x\r\nHost: x\r\n\r\n", 400),
    "two lengths": (b"POST /echo HTTP/1.1\r\nhost: x\r\n" + b"content-length: 1\r\n" * 2, 400),
    "a list of lengths": (b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1, 1\r\n", 400),
    "length and chunks": (CHUNKED[:-2] + b"content-length: 1\r\n\r\n", 400),
    "an unknown coding": (
        b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        501,
    ),
    "chunks in HTTP/1.0": (CHUNKED.replace(b"1.1", b"1.0"), 400),
    "HTTP/0.9": (b"GET /echo\r\n\r\n", 505),
    "a folded line": (b"GET /echo HTTP/1.1\r\nhost: x\r\na: b\r\n c: d\r\n\r\n", 400),
    "a space before a colon": (b"GET /echo HTTP/1.1\r\nhost: x\r\na : b\r\n\r\n", 400),
    "a bare line feed": (b"GET /echo HTTP/1.1\nhost: x\n\n", 400),
    "an upgrade with a body": (
        b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n"
        b"content-length: 3\r\n\r\nabc",
        400,
    ),
    "a long header": (b"GET /echo HTTP/1.1\r\nhost: x\r\na: " + b"b" * 40_000, 431),
    "many headers": (b"GET /echo HTTP/1.1\r\nhost: x\r\n" + b"a:\r\n" * 9_000 + b"\r\n", 431),
    "a long path": (b"GET /" + b"a" * 40_000, 431),
    "empty lines": (b"\r\n" * 20_000, 431),
}


@pytest.mark.parametrize(("head", "status"), REFUSED_HEADS.values(), ids=REFUSED_HEADS)
async def test_a_head_that_may_be_read_in_two_ways_is_refused(
    served: tuple[Echo, str], head: bytes, status: int
):
    async with raw_client(served[1]) as client:
        client.send(head)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert json.loads(answer.body)["error"]["message"]
        assert await client.rest() == b""
    assert served[0].asked == 0


async def test_an_offer_to_upgrade_is_ignored_and_what_follows_is_the_next_request(
    client: RawClient,
):
    offer = b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    client.send((offer + GET) * 3)
    assert [(await client.answer()).status for _ in range(6)] == [200] * 6


async def test_who_waits_for_a_word_before_the_body_is_not_slow():
    head = b"POST /late HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n"
    async with (
        serving_echo(HASTY) as (app, address),
        raw_client(address) as waiting,
    ):
        waiting.send(head + b"expect: 100-continue\r\n\r\n")
        await eventually(lambda: app.asked == 1)
        for _ in range(2):
            async with raw_client(address) as slow:
                slow.send(head + b"\r\n")
                assert (await slow.answer()).status == 408
        app.may_read.set()
        assert await waiting.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        waiting.send(b"hi")
        assert json.loads((await waiting.answer()).body)["body"] == "hi"


async def test_of_a_client_that_sends_too_many_requests_at_once_the_first_are_answered(
    served: tuple[Echo, str], client: RawClient
):
    client.send(GET * 3 * MAX_PIPELINED)
    answers = (await client.rest()).count(b"HTTP/1.1 200 ")
    assert MAX_PIPELINED <= answers <= MAX_PIPELINED + 1
    assert served[0].asked == answers


async def test_nonsense_behind_a_request_does_not_get_into_its_answer(client: RawClient):
    client.send(GET + b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
    answer = await client.answer()
    assert answer.status == 200
    assert json.loads(answer.body)["headers"] == {"host": "x"}
    assert await client.rest() == b""


@pytest.mark.parametrize("behind", [b"", GET, GET * 2], ids=["alone", "one", "two behind"])
async def test_who_leaves_takes_the_answer_along_whatever_was_sent_behind(
    served: tuple[Echo, str], behind: bytes
):
    app, address = served
    async with raw_client(address) as client:
        client.send(STREAM + behind)
        await client.reader.readuntil(b"first")
        client.abort()
        await eventually(lambda: app.streams == 0)
    assert app.most_streams == 1
