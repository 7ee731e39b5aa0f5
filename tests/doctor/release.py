"""A release as its pod of `helm test` sees it: broker, gRPC servers, pages, mounted secrets."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from modelmill_bus.broker_config import Identities, tls_settings
from modelmill_bus.deploy import make_streams
from modelmill_bus.permissions import DEPLOY
from modelmill_cli.certificates import CertificateFolder
from modelmill_cli.doctor.pod_checks import EXPIRES
from modelmill_cli.doctor.pod_facts import DiskRoom, PodExamined, examine_pod
from modelmill_cli.doctor.pod_settings import PREFIX, PodSettings
from modelmill_service_kit.bus_access import BusTls
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.metrics import MetricsPage
from modelmill_service_kit.mutual_tls import MutualTls
from modelmill_testkit.nats_server import run_nats
from prometheus_client import CollectorRegistry, Gauge

SECRET = "secret of all services"
SERVICES = ("moderation", "data-prep", "trainer", "optimizer-builder", "inference")
ROOT = Path(__file__).parents[2]
AMPLE = DiskRoom(90 << 30, 100 << 30)
"""What the machine of a test is short of is not planted."""


@dataclass
class Release:
    """What runs, and what the pod is told of it; tests change either."""

    settings: PodSettings
    servers: Mapping[str, RpcServer]
    made: CertificateFolder
    stack: AsyncExitStack

    async def examined(self) -> PodExamined:
        """By the pod, with room on the volume of the artifacts."""
        return replace(await examine_pod(self.settings), artifacts=AMPLE)

    def changed(self, **settings: object) -> "Release":
        """The pod is told something else."""
        return replace(self, settings=self.settings.model_copy(update=settings))

    def showing(self, page: MetricsPage) -> "Release":
        """The trainer shows another page."""
        port = self.stack.enter_context(page).port
        return self.changed(pages={**self.settings.pages, "trainer": f"127.0.0.1:{port}"})

    def environment(self) -> Mapping[str, str]:
        """As the chart gives it."""
        it = self.settings.model_dump()
        return {
            f"{PREFIX}{name}".upper(): json.dumps(value) if isinstance(value, dict) else str(value)
            for name, value in it.items()
            if value is not None
        }


def page_with(
    totals: Mapping[str, float], *, secret: str = SECRET, release: str | None = None
) -> MetricsPage:
    """A metrics page of a component of a release."""
    registry = CollectorRegistry()
    build = Gauge("modelmill_build_info", "Build.", ["version"], registry=registry)
    build.labels(version=release or version("modelmill")).set(1)
    for name, value in totals.items():
        Gauge(name, "Planted.", registry=registry).set(value)
    return MetricsPage("127.0.0.1:0", secret, registry)


def mount(folder: Path, files: Mapping[str, bytes]) -> None:
    """As Kubernetes mounts a secret: names are links into a folder with a date."""
    dated = folder / "..2026_11_30"
    dated.mkdir(parents=True)
    (folder / "..data").symlink_to(dated.name)
    for name, content in files.items():
        (dated / name).write_bytes(content)
        (dated / name).chmod(0o440)
        (folder / name).symlink_to(f"..data/{name}")


def expire(release: Release) -> None:
    """Mount a certificate of the gateway that has ended."""
    settings, made = release.settings, release.made
    authority = x509.load_pem_x509_certificate(made.certificate("ca").read_bytes())
    issuer = load_pem_private_key(made.key("ca").read_bytes(), password=None)
    key = load_pem_private_key(settings.mtls_key_path.read_bytes(), password=None)
    assert isinstance(issuer, ec.EllipticCurvePrivateKey)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    own = x509.load_pem_x509_certificate(settings.mtls_certificate_path.read_bytes())
    ends = own.not_valid_before_utc - timedelta(days=1)
    planted = (
        x509.CertificateBuilder()
        .subject_name(own.subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - timedelta(days=90))
        .not_valid_after(ends)
    )
    signed = planted.sign(issuer, authority.signature_hash_algorithm)
    file = settings.mtls_certificate_path
    file.chmod(0o640)
    file.write_bytes(signed.public_bytes(Encoding.PEM))
    file.chmod(0o440)


async def _ready(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


def _mounted(folder: Path, people: Identities, made: CertificateFolder) -> dict[str, Path]:
    """Secrets as the chart mounts them, and their settings."""
    mount(folder / "bus", {"bus.nk": people.seed("gateway").file.read_bytes()})
    mount(folder / "secrets", {"service-secret": SECRET.encode()})
    own = {"tls.crt": made.certificate("gateway"), "tls.key": made.key("gateway")}
    files = {"ca.crt": made.certificate("ca"), **own}
    mount(folder / "tls", {name: file.read_bytes() for name, file in files.items()})
    return {
        "nats_nkey_seed_file": folder / "bus" / "bus.nk",
        "nats_ca_file": folder / "tls" / "ca.crt",
        "service_secret_file": folder / "secrets" / "service-secret",
        "mtls_authority_path": folder / "tls" / "ca.crt",
        "mtls_certificate_path": folder / "tls" / "tls.crt",
        "mtls_key_path": folder / "tls" / "tls.key",
        "secrets_folder": folder,
    }


async def _served(
    stack: AsyncExitStack, made: CertificateFolder, names: tuple[str, ...]
) -> Mapping[str, RpcServer]:
    """A gRPC server of each name, which the gateway alone may call."""
    servers = {}
    for name in names:
        own = MutualTls(made.certificate("ca"), made.certificate(name), made.key(name))
        server = RpcServer(
            "localhost:0",
            SECRET,
            drain_seconds=0,
            credentials=own.server_credentials(),
            callers={"gateway"},
        )
        servers[name] = await stack.enter_async_context(server)
    return servers


@asynccontextmanager
async def running_release(folder: Path) -> AsyncIterator[Release]:
    """A release in which nothing is wrong."""
    people, made = Identities(folder / "bus"), CertificateFolder(folder / "certificates")
    people.ensure()
    made.ensure()
    broker = people.authorization() + tls_settings(made.path, clients_show=False)
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(run_nats(folder / "nats", broker))
        tls = BusTls(made.certificate("ca"))
        await make_streams(nats.url, people.seed(DEPLOY), tls)
        servers = await _served(stack, made, SERVICES)
        page = stack.enter_context(page_with({EXPIRES: _end_of(made)}))
        gateway = await asyncio.start_server(_ready, "127.0.0.1", 0)
        await stack.enter_async_context(gateway)
        port = gateway.sockets[0].getsockname()[1]
        settings = PodSettings(
            nats_url=nats.url,
            broker_config_path=ROOT / "deploy" / "nats" / "nats.conf",
            services={name: f"localhost:{server.port}" for name, server in servers.items()},
            pages={name: f"127.0.0.1:{page.port}" for name in (*SERVICES, "gateway")},
            gateway_url=f"http://127.0.0.1:{port}",
            **_mounted(folder / "mounted", people, made),
        )
        yield Release(settings, servers, made, stack)


def _end_of(made: CertificateFolder) -> float:
    own = x509.load_pem_x509_certificate(made.certificate("gateway").read_bytes())
    return own.not_valid_after_utc.timestamp()
