"""Where requests go: to the address that was checked, with the name's certificate, no further."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway_support.certificates import CertificateFiles
from gateway_support.receiver import OK, receiving
from modelmill_gateway.adapters.webhook_sender import ANSWER_BYTES, WebhookSender, threaded_lookups
from modelmill_gateway.domain.errors import BadRequestError

PUBLIC = "93.184.215.14"


class Names:
    """A name server that may say something else each time."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@asynccontextmanager
async def sending(names: Names, **changes: object) -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(names, **({"allow_private": True} | changes))
    try:
        yield sender
    finally:
        await sender.close()


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "localhost",
            "LOCALHOST.",
            "127.1",
            "2130706433",
            "0x7f000001",
            "017700000001",
        ),
        *("0177.0.0.1", "0x7f.1", "0.0.0.0", "0", "10.0.0.7", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "2852039166", "100.64.0.1", "168.63.129.16", "192.0.0.192"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[::7f00:1]"),
        *("[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]", "[2002:7f00:1::]"),
        *("[2001:0:53aa:64c:0:0:80ff:fffe]", "[fe80::1]", "[fd00:ec2::254]", "[fec0::1]"),
        *("[ff02::1]", "[2001:db8::1]", "224.0.0.1", "255.255.255.255", "198.18.0.1"),
    ],
)
async def test_an_address_that_is_not_public_is_refused_however_it_is_written(host: str):
    async with threaded_lookups() as resolve:
        sender = WebhookSender(resolve, allow_private=False)
        with pytest.raises(BadRequestError, match=r"not a public one|not known|must be a name"):
            await sender.check(f"https://{host}/latest/meta-data")
        reply = await sender.post(f"https://{host}/latest/meta-data", {}, b"{}")
        await sender.close()

    assert reply.outcome in ("forbidden", "unreachable")
    assert reply.status == 0


async def test_one_private_address_among_public_ones_is_enough_to_refuse():
    async with sending(Names([PUBLIC, "10.0.0.7"]), allow_private=False) as sender:
        with pytest.raises(BadRequestError, match="not a public one"):
            await sender.check("https://hooks.test/")


async def test_a_name_that_becomes_private_after_it_was_registered_is_not_called():
    names = Names([PUBLIC], ["127.0.0.1"])
    async with receiving() as receiver, sending(names, allow_private=False) as sender:
        url = f"https://hooks.test:{receiver.port}/"
        await sender.check(url)
        reply = await sender.post(url, {}, b"{}")

    assert reply.outcome == "forbidden"
    assert receiver.connections == 0


async def test_a_name_is_looked_up_once_for_each_request():
    """A second look-up, by the connection, could get another address than the one checked."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with receiving() as receiver, sending(names) as sender:
        reply = await sender.post(f"http://hooks.test:{receiver.port}/", {}, b"{}")

    assert reply.outcome == "delivered"
    assert names.asked == ["hooks.test"]
    assert receiver.requests[0].headers["host"] == f"hooks.test:{receiver.port}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://hooks.test/", r"https://\. GATEWAY_WEBHOOK_ALLOW_PRIVATE=true lets in http"),
        ("https://ann@hooks.test/", "user name"),
        ("https://hooks.test@127.0.0.1/", "user name"),
        ("https://hooks.test:22/", "port"),
        ("https://hooks.test:80/", "port"),
        ("https://hooks.test:99999/", "no URL"),
        ("https://hooks.test\\@127.0.0.1/", "backslash"),
        ("https://hooks.test/\r\nx: y", "printable"),
        ("https://häuser.test/", "ASCII"),
        ("https:///nowhere", "the host"),
        ("https://hooks..test/", "the host"),
        ("https://[fe80::1%25eth0]/", "the host"),
        ("https://a_b.test/", "the host"),
    ],
)
async def test_a_url_that_hides_something_is_refused(url: str, said: str):
    async with sending(Names([PUBLIC]), allow_private=False) as sender:
        with pytest.raises(BadRequestError, match=said):
            await sender.check(url)
        assert (await sender.post(url, {}, b"{}")).outcome == "forbidden"


@pytest.mark.parametrize(
    "url", ["https://hooks.test", "https://hooks.test:8443/a?b=c", "https://x/"]
)
async def test_a_public_name_is_taken(url: str):
    async with sending(Names([PUBLIC, "2606:2800:21f:cb07::1"]), allow_private=False) as sender:
        await sender.check(url)


@pytest.mark.parametrize(
    ("host", "outcome"), [("localhost", "delivered"), ("hooks.test", "unreachable")]
)
async def test_the_certificate_must_be_for_the_name_and_not_for_the_address(
    tmp_path: Path, host: str, outcome: str
):
    files = CertificateFiles.inside(tmp_path)  # of localhost and of 127.0.0.1
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(files.certificate, files.key)
    trusting = ssl.create_default_context(cafile=files.certificate)
    async with (
        receiving(tls=served) as receiver,
        sending(Names(["127.0.0.1"]), tls=trusting) as sender,
    ):
        reply = await sender.post(f"https://{host}:{receiver.port}/", {}, b"{}")

    assert reply.outcome == outcome


async def test_the_next_address_is_tried_when_the_first_does_not_connect():
    async with receiving() as receiver, sending(Names(["127.0.0.9", "127.0.0.1"])) as sender:
        reply = await sender.post(f"http://hooks.test:{receiver.port}/", {}, b"{}")

    assert reply.outcome == "delivered"


async def test_an_answer_without_end_is_left_after_64_kilobytes():
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n" + b"x" * ANSWER_BYTES
    async with (
        receiving(answer=lambda _: endless) as receiver,
        sending(Names(["127.0.0.1"])) as sender,
    ):
        reply = await sender.post(receiver.url, {}, b"{}")

    assert (reply.outcome, reply.status) == ("delivered", 200)


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (None, "timeout"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "unreachable"),
        (b"SSH-2.0\r\n\r\n", "unreachable"),
    ],
)
async def test_silence_and_nonsense_are_failures(said: bytes | None, outcome: str):
    # Only silence is waited for: nonsense may come late on a busy machine.
    async with (
        receiving(answer=lambda _: said) as receiver,
        sending(Names(["127.0.0.1"]), timeout=0.3 if said is None else 60.0) as sender,
    ):
        assert (await sender.post(receiver.url, {}, b"{}")).outcome == outcome


async def test_a_name_server_that_does_not_answer_counts_into_the_time():
    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    sender = WebhookSender(never, allow_private=True, timeout=0.2)
    assert (await sender.post("http://hooks.test/", {}, b"{}")).outcome == "timeout"
    with pytest.raises(BadRequestError, match="not known"):
        await sender.check("http://hooks.test/")
    await sender.close()


async def test_neither_a_proxy_nor_a_cookie_is_used(monkeypatch: pytest.MonkeyPatch):
    async with (
        receiving() as proxy,
        receiving() as receiver,
        sending(Names(["127.0.0.1"])) as sender,
    ):
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        receiver.answer = lambda _: OK.replace(b"\r\n\r\n", b"\r\nset-cookie: a=b\r\n\r\n")
        for _ in range(2):
            await sender.post(receiver.url, {}, b"{}")

    assert proxy.requests == []
    assert len(receiver.requests) == receiver.connections == 2
    assert not any("cookie" in request.headers for request in receiver.requests)
