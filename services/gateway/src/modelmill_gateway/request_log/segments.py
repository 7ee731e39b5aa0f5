"""Segments of the request log: texts of many requests in one artifact, each sealed by its user."""

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.exceptions import InvalidTag
from modelmill.gateway.v1.gateway_events_pb2 import LoggedRequest, LogSegment
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.errors import CorruptArtifactError

from modelmill_gateway.domain.exchanges import Exchange, ExchangeTexts
from modelmill_gateway.domain.secret_vault import NONCE_BYTES
from modelmill_gateway.request_log.log_keys import UserKey

KIND, FORM = "request-log", "aes-256-gcm"
CONTENT = "texts.sealed"


@dataclass(frozen=True)
class SealedExchange:
    """An exchange with what its user is known by and sealed with."""

    exchange: Exchange
    user: bytes
    key: UserKey


def write_segment(
    store: ArtifactStore, work: Path, tenant: str, sealed: Iterable[SealedExchange]
) -> LogSegment:
    """Store the texts as an artifact; blocks on the disk.

    Raises:
        DiskFullError, UnavailableError: As `ArtifactStore.commit`.
    """
    segment = LogSegment(tenant=tenant)
    with TemporaryDirectory(dir=work) as folder:
        with (Path(folder) / CONTENT).open("wb") as file:
            for each in sealed:
                content = _sealed(each)
                segment.requests.append(_listed(each, file.tell(), len(content)))
                file.write(content)
        attributes = {"requests": len(segment.requests)}
        manifest = store.commit(Path(folder), kind=KIND, form=FORM, attributes=attributes)
    segment.digest = manifest.digest
    segment.at.GetCurrentTime()
    return segment


def read_texts(
    content: bytes, tenant: str, wanted: Iterable[LoggedRequest], keys: Mapping[bytes, UserKey]
) -> Iterator[tuple[LoggedRequest, ExchangeTexts]]:
    """The texts of those whose keys are there, and are those that sealed them.

    Raises:
        CorruptArtifactError: A text is not what was sealed.
    """
    for request in wanted:
        key = keys.get(request.user_digest)
        if key is None or key.sequence != request.key_sequence:
            continue
        sealed = content[request.offset : request.offset + request.size]
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            packed = key.cipher.decrypt(nonce, rest, _bound_to(tenant, request.request_id))
        except (InvalidTag, ValueError):
            what = f"the text of {request.request_id} is not what was sealed. Restore a backup"
            raise CorruptArtifactError(CONTENT, what) from None
        yield request, ExchangeTexts.of_bytes(zlib.decompress(packed))


def _sealed(each: SealedExchange) -> bytes:
    exchange, nonce = each.exchange, os.urandom(NONCE_BYTES)
    packed = zlib.compress(exchange.texts.to_bytes())
    bound = _bound_to(exchange.tenant, exchange.request_id)
    return nonce + each.key.cipher.encrypt(nonce, packed, bound)


def _bound_to(tenant: str, request_id: str) -> bytes:
    """What a text opens under alone."""
    return f"{tenant}/{request_id}".encode()


def _listed(each: SealedExchange, offset: int, size: int) -> LoggedRequest:
    exchange = each.exchange
    listed = LoggedRequest(
        request_id=exchange.request_id,
        model=exchange.model,
        version_id=exchange.version_id,
        variant=exchange.variant,
        user_digest=each.user,
        key_id=exchange.key_id,
        finish_reason=exchange.finish_reason,
        offset=offset,
        size=size,
        key_sequence=each.key.sequence,
    )
    listed.at.FromNanoseconds(round(exchange.at * 1e9))
    return listed
