"""What checks of a release in a cluster read, and how it is asked, from a pod of the release."""

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
from modelmill_service_kit.bus_access import BusTls, NkeySeed
from modelmill_service_kit.errors import DomainError, PreconditionError
from modelmill_service_kit.settings import secret_in

from modelmill_cli.doctor.examined import AUTHORITY, CertificateFiles, ServicePage
from modelmill_cli.doctor.pod_settings import PREFIX, PodSettings
from modelmill_cli.doctor.processes import PEER_SECONDS, page_at, status_of

if TYPE_CHECKING:
    from modelmill_bus.inspection import BrokerState
    from modelmill_service_kit.mutual_tls import MutualTls

IDENTITY = "gateway"
"""Whose credentials the pod has."""
RENEW_IN_CLUSTER = (
    "Renew it with `mill certs` and apply the output of deploy/helm/secrets, or see why"
    " cert-manager has not"
)


class PeerAnswer(NamedTuple):
    """How a service answered at its health."""

    problem: str
    """Why it does not take calls; empty where it does."""


class DiskRoom(NamedTuple):
    """Room on a volume."""

    free_bytes: int
    whole_bytes: int


@dataclass(frozen=True)
class PodExamined:
    """All that checks of a pod read."""

    settings: PodSettings
    now: datetime
    installed: str
    """Release of this command."""
    broker: "BrokerState | None"
    broker_problem: str
    broker_config: str | None
    peers: Mapping[str, PeerAnswer]
    """By service; none where our own certificate cannot be shown."""
    pages: Mapping[str, ServicePage]
    """By component."""
    gateway_ready: int | None
    """Status of its `/readyz`; None without an answer in time."""
    artifacts: DiskRoom | None
    """None where they are in a bucket."""

    renewal = RENEW_IN_CLUSTER

    @property
    def certificates(self) -> Mapping[str, CertificateFiles]:
        """Those that are mounted; of the authority without its key."""
        it = self.settings
        return {
            AUTHORITY: CertificateFiles(it.mtls_authority_path, it.mtls_authority_path),
            IDENTITY: CertificateFiles(it.mtls_certificate_path, it.mtls_key_path),
        }


async def examine_pod(settings: PodSettings, clock: Callable[[], float] = time.time) -> PodExamined:
    """Ask everybody of the release at once; nothing is changed.

    Args:
        clock: seconds since 1970.

    Raises:
        PreconditionError: a mounted file cannot be read; the message names it.
    """
    secret = secret_in(settings.service_secret_file, f"{PREFIX}SERVICE_SECRET_FILE")
    headers = {"authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(timeout=PEER_SECONDS, trust_env=False, verify=_any()) as http:
        told, peers, ready, pages = await asyncio.gather(
            _broker(settings, clock),
            _peers(settings, secret),
            status_of(http, f"{settings.gateway_url}/readyz"),
            asyncio.gather(*(page_at(http, each, headers) for each in settings.pages.values())),
        )
    return PodExamined(
        settings=settings,
        now=datetime.fromtimestamp(clock(), UTC),
        installed=version("modelmill"),
        broker=None if isinstance(told, str) else told,
        broker_problem=told if isinstance(told, str) else "",
        broker_config=_text(settings.broker_config_path),
        peers=peers,
        pages=dict(zip(settings.pages, pages, strict=True)),
        gateway_ready=ready,
        artifacts=_room(settings.artifacts_path),
    )


def _any() -> ssl.SSLContext:
    """The gateway's public certificate names no Service; nothing secret is sent over this."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _broker(settings: PodSettings, clock: Callable[[], float]) -> "BrokerState | str":
    from modelmill_bus.inspection import inspect_broker

    seed, tls = NkeySeed(settings.nats_nkey_seed_file), BusTls(settings.nats_ca_file)
    try:
        return await inspect_broker(settings.nats_url, seed, name=IDENTITY, tls=tls, clock=clock)
    except DomainError as error:
        return str(error)


async def _peers(settings: PodSettings, secret: str) -> Mapping[str, PeerAnswer]:
    from modelmill_service_kit.certificates import CertificateError
    from modelmill_service_kit.mutual_tls import MutualTls

    it = settings
    try:
        own = MutualTls(it.mtls_authority_path, it.mtls_certificate_path, it.mtls_key_path)
    except CertificateError:
        return {}  # which is a finding of another check
    names = [*settings.services]
    asked = (_answer(settings.services[name], name, secret, own) for name in names)
    return dict(zip(names, await asyncio.gather(*asked), strict=True))


async def _answer(target: str, peer: str, secret: str, own: "MutualTls") -> PeerAnswer:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from modelmill_service_kit.grpc_client import open_channel

    async with open_channel(f"dns:///{target}", secret, identity=own, peer=peer) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            said = await stub.Check(health_pb2.HealthCheckRequest(), timeout=PEER_SECONDS)
        except grpc.aio.AioRpcError as error:
            words = " ".join((error.details() or error.code().name).split())
            return PeerAnswer(f"does not answer: {words[:200]}")
    is_ready = said.status == health_pb2.HealthCheckResponse.SERVING
    return PeerAnswer("" if is_ready else "says that it is not ready")


def _text(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise PreconditionError(
            f"{PREFIX}BROKER_CONFIG_PATH: cannot read {file}: {error.strerror}. Mount it"
        ) from error


def _room(folder: Path | None) -> DiskRoom | None:
    if folder is not None:
        with suppress(OSError):
            disk = os.statvfs(folder)
            return DiskRoom(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
    return None
