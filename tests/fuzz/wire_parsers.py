"""What comes over the wire before anything has a meaning: HTTP, the boundary of a form, gRPC."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from google.protobuf.message_factory import GetMessageClass
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_gateway.adapters.http_protocol import LimitedProtocol
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.http.multipart import MultipartUpload
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.handler_interceptor import request_reader
from uvicorn import Config
from uvicorn.server import ServerState

from tests.fuzz.mutations import mutated
from tests.fuzz.tally import FuzzError

TURNS = 250
"""Of the event loop after each piece: the app answers within them."""
TRAILER = b"x-trailer"
_HEADS = (
    b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n",
    b"POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
    b"POST /c HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nhi",
    b"GET /d HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    b"POST /e HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\n" + TRAILER + b": 1\r\nauthorization: x\r\n\r\n",
    b"\r\n\r\nHEAD /f HTTP/1.1\r\nHost: x\r\nconnection: close\r\n\r\n",
    b"GET /g HTTP/1.0\r\n\r\n",
)

Asked = list[tuple[str, str, list[tuple[bytes, bytes]], bytes]]


class _Wire(asyncio.Transport):
    """A connection without a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self._is_closed = False

    def write(self, data: Any) -> None:
        if self._is_closed:
            raise FuzzError("written after the end")

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self._is_closed

    def abort(self) -> None:
        self.close()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class HttpRequests:
    """Reads broken requests, one behind the other, cut anywhere.

    Promised: the same requests reach the app whole whichever way the bytes are cut, and no trailer
    is a header of any.
    """

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        sound = b"".join(random.choices(_HEADS, k=random.randint(1, 4)))
        sent = mutated(random, sound, random.choice(_HEADS)) if random.random() < 0.8 else sound
        # Fewer requests than may wait, and less framing than may come: both depend on the cuts.
        sent = sent[:2000]
        places = [sorted(random.randint(0, len(sent)) for _ in range(4)) for _ in range(3)]
        return json.dumps({"sent": sent.hex(), "cuts": places}).encode()

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        given = json.loads(path.read_bytes())
        sent = bytes.fromhex(given["sent"])
        found = asyncio.run(_asked([sent]))
        for places in given["cuts"]:
            marks = [0, *places, len(sent)]
            pieces = [sent[a:b] for a, b in pairwise(marks)]
            if (other := asyncio.run(_asked(pieces))) != found:
                raise FuzzError(f"other requests where they were cut otherwise: {other} {found}")
        if not found:
            raise InvalidInputError("refused")
        return len(found)


async def _asked(pieces: list[bytes]) -> Asked:
    """The requests of which the app gets all."""
    asked: Asked = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        asked.append((scope["method"], scope["path"], scope["headers"], body))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = Config(app, http=LimitedProtocol, ws="none", lifespan="off", log_config=None)
    config.load()
    wire = _Wire()
    wire.protocol = protocol = LimitedProtocol(config, ServerState(), {})
    protocol.connection_made(wire)
    for piece in filter(None, pieces):
        if not wire.is_closing():
            protocol.data_received(piece)
        for _ in range(TURNS):
            await asyncio.sleep(0)
    wire.close()
    for _ in range(TURNS):
        await asyncio.sleep(0)
    if any(name == TRAILER for *_, headers, _ in asked for name, _ in headers):
        raise FuzzError("a trailer became a header")
    return asked


class Boundaries:
    """Reads forms by any Content-Type.

    Promised: it is refused, or the file is the one that was put in.
    """

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        signs = "ab019'()+_,-./:=? \"\\;%\xe9\t"
        length = random.choice((0, 1, 5, 69, 70, 71, 300, 30_000))
        boundary = "".join(random.choices(signs if random.random() < 0.5 else "xyz-", k=length))
        kind = f'multipart/form-data; boundary="{boundary}"'
        if random.random() < 0.3:
            kind = mutated(random, kind.encode("latin-1"), b"; boundary=x").decode("latin-1")
        return json.dumps({"kind": kind, "boundary": boundary}).encode()

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        given = json.loads(path.read_bytes())
        mark = given["boundary"].encode("latin-1")
        head = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        form = b"--" + mark + b"\r\n" + head + b"content\r\n--" + mark + b"--\r\n"
        try:
            content = asyncio.run(_file_in(form, given["kind"]))
        except BadRequestError as error:
            if given["kind"] == 'multipart/form-data; boundary="xyz"':
                raise FuzzError("a sound boundary was refused") from error
            raise
        if content != b"content":
            raise FuzzError("another file than was put in")
        return 1


async def _file_in(form: bytes, kind: str) -> bytes:
    async def stream() -> AsyncIterator[bytes]:
        yield form

    upload = MultipartUpload(kind, stream())
    await upload.open()
    return b"".join([chunk async for chunk in upload.chunks()])


class RpcRequests:
    """Parses broken requests of every procedure.

    Promised: bytes are refused in one way, or they are a message, which survives being written.
    """

    @cached_property
    def _kinds(self) -> dict[str, Any]:
        methods = pb.DESCRIPTOR.services_by_name["GatewayService"].methods
        return {method.name: GetMessageClass(method.input_type) for method in methods}

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        name = random.choice(sorted(self._kinds))
        message = self._kinds[name]()
        for field in message.DESCRIPTOR.fields:
            if field.type == field.TYPE_STRING and not field.is_repeated:
                setattr(message, field.name, random.choice(("", "a", "é" * 50)))
        sent = message.SerializeToString() + bytes([10, 2, 104, 105]) * random.randint(0, 2)
        raw = mutated(random, sent or b"\x0a\x00", random.randbytes(20))
        return json.dumps({"name": name, "raw": raw.hex()}).encode()

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        given = json.loads(path.read_bytes())
        parse: Callable[[bytes], Any] = self._kinds[given["name"]].FromString
        message = request_reader(parse, streaming=False)(bytes.fromhex(given["raw"]))
        if parse(message.SerializeToString()) != message:
            raise FuzzError("another message once it was written and read")
        return 1
