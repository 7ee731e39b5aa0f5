"""What the gateway parses and writes: tokens, forms, and event streams."""

import asyncio
import base64
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from modelmill_bus.subjects import TOKEN
from modelmill_client.wire import EventParser
from modelmill_gateway.adapters.key_set import Keys, SigningKey, parse_jwks
from modelmill_gateway.adapters.tokens import OidcIssuer, TokenVerifier, TrustedIssuer
from modelmill_gateway.domain.chat import Piece
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.http.chat import ChatChunks, CompletionChunks
from modelmill_gateway.entrypoints.http.errors import error_body
from modelmill_gateway.entrypoints.http.jobs import sse_event
from modelmill_gateway.entrypoints.http.multipart import MultipartUpload
from modelmill_gateway.entrypoints.http.text_replies import DONE
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, UnauthenticatedError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import FormParser

from tests.fuzz.mutations import mutated
from tests.fuzz.tally import FuzzError
from tests.fuzz.values import broken_value

ISSUER, AUDIENCE = "https://issuer.fuzz", "fuzz"
TEN_YEARS = 10 * 365 * 24 * 3600
ODD_TIMES = (10**30, -(10**30), -1, 10**12, 1.5, 1e30, float("nan"), float("inf"), True, "1", None)
ODD_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be")
BOUNDARY = "----fuzz"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class _FixedKeys:
    """A key set that does not change."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def get(self, key_id: str) -> SigningKey | None:
        return self._keys.get(key_id)


class Tokens:
    """Verifies broken tokens by both algorithms, of both kinds of issuers.

    Promised: a token is refused as every other is, or it names the caller that was signed. What is
    signed and odd is refused, or names a tenant and a subject of their shapes, and has not expired.
    Times that no date is written for, and text other than UTF-8, are refused however well signed.
    """

    @cached_property
    def _signers(self) -> dict[str, tuple[dict[str, Any], Callable[[bytes], bytes]]]:
        """By algorithm, the JWK and what signs; made when it is first needed, which takes long."""
        curve, rsa = Ed25519PrivateKey.generate(), generate_private_key(65537, 2048)
        x = curve.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        n = rsa.public_key().public_numbers().n.to_bytes(256)
        named = {"kty": "RSA", "n": _encoded(n), "e": "AQAB"}
        return {
            "EdDSA": ({"kty": "OKP", "crv": "Ed25519", "x": _encoded(x)}, curve.sign),
            "RS256": (named, lambda signed: rsa.sign(signed, PKCS1v15(), SHA256())),
        }

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        algorithm = random.choice(("EdDSA", "RS256"))
        now = int(time.time())
        claims: Any = {
            **{"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "tenant": "acme", "scope": "chat"},
            **{"iat": now, "exp": now + TEN_YEARS},
        }
        header: Any = {"alg": algorithm, "typ": "at+jwt", "kid": algorithm}
        way = random.choice(("sound", "claims", "header", "times", "text", *["bytes"] * 4))
        claims = broken_value(random, claims) if way == "claims" else claims
        header = broken_value(random, header) if way == "header" else header
        if way == "times":
            claims[random.choice(("exp", "iat", "nbf"))] = random.choice(ODD_TIMES)
        text = _json(claims)
        if way == "text":
            text = text.decode().encode(random.choice(ODD_ENCODINGS))
        token = self._signed(algorithm, _json(header), text)
        if way == "bytes":
            other = self._signed("RS256" if algorithm == "EdDSA" else "EdDSA", b"{}", _json(claims))
            token = mutated(random, token.encode(), other.encode()).decode("latin-1")
        jwks = [{**jwk, "kid": name, "alg": name} for name, (jwk, _) in self._signers.items()]
        return _json({"token": token, "way": way, "keys": jwks})

    def _signed(self, algorithm: str, header: bytes, claims: bytes) -> str:
        text = f"{_encoded(header)}.{_encoded(claims)}"
        return f"{text}.{_encoded(self._signers[algorithm][1](text.encode()))}"

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        asked = json.loads(path.read_bytes())
        keys = _FixedKeys(parse_jwks(_json({"keys": asked["keys"]})))
        oidc = OidcIssuer(ISSUER, AUDIENCE, keys, tenant_claim="tenant", scope_claim="scope")
        passed = 0
        for issuer in (TrustedIssuer(ISSUER, AUDIENCE, keys), oidc):
            try:
                caller = asyncio.run(TokenVerifier([issuer]).verify(asked["token"]))
            except UnauthenticatedError as error:
                if asked["way"] == "sound":
                    raise FuzzError("a sound token was refused") from error
                continue
            passed += 1
            if asked["way"] in ("times", "text"):
                raise FuzzError("odd times or an odd encoding were taken")
            if asked["way"] != "claims" and (caller.tenant, caller.subject) != ("acme", "ada"):
                raise FuzzError("somebody else than was signed")
            if TOKEN.fullmatch(caller.tenant) is None or not caller.subject.isprintable():
                raise FuzzError("a caller of another shape")
        if not passed:
            raise InvalidInputError("refused")
        return passed


class Forms:
    """Reads broken multipart forms, cut anywhere.

    Promised: whichever way a form is cut, one outcome; a file is the one that python-multipart's
    own reader of whole forms finds; of a sound form it is what was put in.
    """

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        file = random.randbytes(random.choice((0, 1, 30, 900))) + random.choice(
            (b"", b"\r\n", b"\r\n--", f"\r\n--{BOUNDARY}"[:-1].encode(), b"-" * 50)
        )
        sound = _form(file, random)
        broken = random.random() < 0.7
        body = mutated(random, sound, _form(b"other", random)) if broken else sound
        places = [sorted(random.randint(0, len(body)) for _ in range(4)) for _ in range(3)]
        expected = None if broken else file.hex()
        return _json({"body": body.hex(), "cuts": places, "file": expected})

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        asked = json.loads(path.read_bytes())
        body = bytes.fromhex(asked["body"])
        found = _read([body])
        ways = [[body[at : at + 1] for at in range(len(body))]] if len(body) < 2000 else []
        for places in asked["cuts"]:
            marks = [0, *places, len(body)]
            ways.append([body[a:b] for a, b in pairwise(marks)])
        for pieces in ways:
            if _read(pieces) != found:
                raise FuzzError("another outcome where the form was cut otherwise")
        if asked["file"] is not None and (found is None or found[1].hex() != asked["file"]):
            raise FuzzError("another file than was put in")
        if found is None:
            raise InvalidInputError("refused")
        if found[1] not in (theirs := _files_of_the_library(body)):
            raise FuzzError(f"the library finds {len(theirs)} files, and not this one")
        return 1


def _form(file: bytes, random: Random) -> bytes:
    fields = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\nfine-tune\r\n'
        for name in random.sample(("purpose", "expires_after[anchor]", "x"), random.randint(1, 3))
    )
    head = 'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n'
    kind = "Content-Type: application/octet-stream\r\n" if random.random() < 0.5 else ""
    begin = f"{fields}--{BOUNDARY}\r\n{head}{kind}\r\n".encode()
    return begin + file + f"\r\n--{BOUNDARY}--\r\n".encode()


def _read(pieces: list[bytes]) -> tuple[dict[str, str], bytes] | None:
    """Fields and file as the gateway reads them; None where it refuses."""

    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def read() -> tuple[dict[str, str], bytes]:
        upload = MultipartUpload(FORM, stream())
        await upload.open()
        content = b"".join([chunk async for chunk in upload.chunks()])
        return upload.fields | upload.later_fields, content

    try:
        return asyncio.run(read())
    except BadRequestError:
        return None


def _files_of_the_library(body: bytes) -> list[bytes]:
    files: list[bytes] = []

    def keep(file: Any) -> None:
        file.file_object.seek(0)
        files.append(file.file_object.read())

    parser = FormParser("multipart/form-data", None, keep, boundary=BOUNDARY)
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise FuzzError("the library refuses what we take") from error
    return files


class Events:
    """Writes any text as events, and reads them back as strictly as the standard says.

    Promised: a stream has the events that were written, each JSON of one line, and their text is
    what was said; `mill` reads the same.
    """

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        ranges = ((0, 0x80), (0x80, 0x100), (0x2000, 0x2030), (0x3000, 0xD800), (0xE000, 0x110000))
        signs = ("\n", "\r", "\r\n", "\n\n", "data:", ": ", "\0", "\u2028", "\u0085", "[DONE]", '"')
        texts = []
        for _ in range(random.randint(1, 6)):
            some = [chr(random.randrange(*random.choice(ranges))) for _ in range(5)]
            some += random.choices(signs, k=3)
            random.shuffle(some)
            texts.append("".join(some))
        return _json(texts)

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        texts = json.loads(path.read_bytes())
        for written, text_of in _written(texts):
            whole = b"".join(written)
            events = list(_strict_events(whole))
            if len(events) != len(written):
                raise FuzzError("other events than were written")
            bodies = [json.loads(event) for event in events if event != "[DONE]"]
            if "".join(map(text_of, bodies)) != "".join(texts):
                raise FuzzError("another text than was said")
            lines = io.StringIO(whole.decode(), newline=None).read().split("\n")
            parser = EventParser()
            if [it.body for it in map(parser.feed, lines) if it is not None] != bodies:
                raise FuzzError("the client reads something else")
        return len(texts)


def _written(texts: list[str]) -> Iterator[tuple[list[bytes], Callable[[Any], str]]]:
    """The same texts as each writer writes them, and how a reader finds them."""
    common: dict[str, Any] = {"answer_id": "a", "created": 1, "model": "m", "fingerprint": "f"}
    chat = ChatChunks(**common, with_usage=False)
    plain = CompletionChunks(**common, with_usage=True)
    pieces = [Piece(text) for text in texts]
    yield (
        [chat.opening(), *map(chat.more, pieces), DONE],
        lambda body: str(body["choices"][0]["delta"].get("content", "")),
    )
    yield [*map(plain.more, pieces), DONE], lambda body: str(body["choices"][0]["text"])
    yield [sse_event("1", {"said": text}) for text in texts], lambda body: str(body["said"])
    yield (
        [b"data: " + error_body(NotFoundError(text), "req-1") + b"\n\n" for text in texts],
        lambda body: str(body["error"]["message"]),
    )


def _strict_events(stream: bytes) -> Iterator[str]:
    """Data of each event, by the rules of the HTML standard."""
    data: list[str] = []
    text = stream.decode("utf-8", "strict").replace("\r\n", "\n").replace("\r", "\n")
    for line in text.split("\n"):
        field, _, value = line.partition(":")
        if not line:
            if data:
                yield "\n".join(data)
            data = []
        elif field == "data":
            data.append(value.removeprefix(" "))
        elif field not in ("id", "event", "retry", ""):
            raise FuzzError(f"a line that is none: {field[:40]!r}")
    if data:
        raise FuzzError("an event without an end")


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
