"""Mutual TLS between services, with certificates of one private authority."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from prometheus_client import Gauge

from modelmill_service_kit.certificates import (
    CertificateError,
    KeyPair,
    Watched,
    check_dates,
    parse_certificates,
    read_bytes,
    read_pair,
)

GRACE_SECONDS = 600.0
"""How long calls may go on over the connection that they began on."""


class RenewedChannel(grpc.aio.Channel):
    """Calls begin on a channel with the credentials then in force, and end on the same one.

    Expected: a client, like a server, can be given another certificate. Actual: gRPC for Python
    reads a channel's credentials once, and every reconnect after the certificate's end fails.

    Args:
        credentials: those in force; others only when it gives another object.
        open_with: opens a channel that has them.
    """

    def __init__(
        self,
        credentials: Callable[[], grpc.ChannelCredentials],
        open_with: Callable[[grpc.ChannelCredentials], grpc.aio.Channel],
    ) -> None:
        self._credentials = credentials
        self._open_with = open_with
        self._used = credentials()
        self._channel = open_with(self._used)
        self._closing: set[asyncio.Task[None]] = set()

    def _current(self) -> grpc.aio.Channel:
        credentials = self._credentials()
        if credentials is not self._used:
            outdated, self._channel = self._channel, self._open_with(credentials)
            self._used = credentials
            closing = asyncio.get_running_loop().create_task(outdated.close(GRACE_SECONDS))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return self._channel

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._on_the_current("unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._on_the_current("unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._on_the_current("stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._on_the_current("stream_stream", args, kwargs)

    def _on_the_current(
        self, shape: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[..., Any]:
        channel = self._channel
        make_call = getattr(channel, shape)(*args, **kwargs)

        def made(*call_args: Any, **call_kwargs: Any) -> Any:
            nonlocal channel, make_call
            current = self._current()
            if current is not channel:
                channel, make_call = current, getattr(current, shape)(*args, **kwargs)
            return make_call(*call_args, **call_kwargs)

        return made

    async def close(self, grace: float | None = None) -> None:
        for closing in tuple(self._closing):
            closing.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._channel.close(grace)

    async def __aenter__(self) -> "RenewedChannel":
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._current().channel_ready()


log = logging.getLogger(__name__)

EXPIRES = Gauge(
    "modelmill_mtls_certificate_expires_timestamp_seconds",
    "When the certificate that is shown to other services expires, in seconds since 1970.",
)


class _Identity(NamedTuple):
    """A pair that may be shown, and whose word is taken for who others are."""

    authority: bytes
    pair: KeyPair
    for_channels: grpc.ChannelCredentials


class MutualTls:
    """Mutual TLS identity of this process; changed files are loaded again.

    Args:
        authority: PEM file with the certificates of the authorities that peers are believed.
        certificate: PEM file with this process's own, made by one of them.
        key: PEM file with its private key, without passphrase.

    Raises:
        CertificateError: a file is no good; the message says which, why, and what to do.
    """

    def __init__(self, authority: Path, certificate: Path, key: Path) -> None:
        self._authority_file = authority
        self._pair_files = (certificate, key)
        self._told_of_end: _Identity | None = None
        self._watched = Watched((certificate, key, authority), self._read)

    def server_credentials(self) -> grpc.ServerCredentials:
        """Server credentials that reject clients without a certificate of the authority."""
        known = self._current()

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal known
            current = self._current()
            if current is known:
                return None
            known = current
            return _configuration(current)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(known),
            changed,  # type: ignore[arg-type]
            require_client_authentication=True,
        )

    def open_channel(
        self, target: str, peer: str, options: Sequence[tuple[str, Any]]
    ) -> grpc.aio.Channel:
        """A channel to whoever answers at `target` and proves to be `peer`.

        An address says where a service is, not which one it is: the name in its certificate does.
        """
        named = [*options, ("grpc.ssl_target_name_override", peer)]

        def open_with(credentials: grpc.ChannelCredentials) -> grpc.aio.Channel:
            return grpc.aio.secure_channel(target, credentials, options=named)

        return RenewedChannel(lambda: self._current().for_channels, open_with)

    def _current(self) -> _Identity:
        current = self._watched.current()
        if datetime.now(UTC) > current.pair.ends and self._told_of_end is not current:
            self._told_of_end = current
            log.error(
                "the certificate in %s expired on %s UTC: other services refuse us. Renew it",
                self._pair_files[0],
                f"{current.pair.ends:%Y-%m-%d %H:%M}",
            )
        return current

    def _read(self) -> _Identity:
        pair = read_pair(*self._pair_files)
        text = read_bytes(self._authority_file)
        authorities = parse_certificates(self._authority_file, text)
        issuer = next((one for one in authorities if _issued(one, pair.chain[-1])), None)
        if issuer is None:
            raise CertificateError(
                f"the certificate in {self._pair_files[0]} was not made by the authority in "
                f"{self._authority_file}. Take both from one folder of `mill certs`"
            )
        check_dates(self._authority_file, issuer)
        EXPIRES.set(min(pair.ends, issuer.not_valid_after_utc).timestamp())
        credentials = grpc.ssl_channel_credentials(text, pair.key, pair.certificate)
        return _Identity(text, pair, credentials)


def _issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _configuration(identity: _Identity) -> grpc.ServerCertificateConfiguration:
    pair = (identity.pair.key, identity.pair.certificate)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=identity.authority)
