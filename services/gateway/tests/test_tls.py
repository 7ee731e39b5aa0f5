"""TLS for HTTP and gRPC: served if configured, reloaded at run time, refused if invalid."""

import asyncio
import logging
import os
import ssl
import sys
import warnings
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from gateway_support.another_gateway import another_gateway
from gateway_support.certificates import CertificateFiles, pem
from gateway_support.house import House
from grpc_health.v1 import health_pb2, health_pb2_grpc
from modelmill_gateway.main import serve
from modelmill_gateway.settings import Settings
from modelmill_service_kit.certificates import CertificateError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVING = health_pb2.HealthCheckResponse.SERVING


@dataclass
class Endpoints:
    """A gateway that serves TLS, and the files that it reads."""

    files: CertificateFiles
    http_port: int
    grpc_port: int

    def trust(self) -> ssl.SSLContext:
        """What a client needs to believe the pair that is in the files now."""
        return ssl.create_default_context(cafile=self.files.certificate)

    async def http(self, trust: ssl.SSLContext) -> str:
        """The health status by HTTP, over a new connection."""
        async with httpx.AsyncClient(verify=trust) as client:
            answer = await client.get(f"https://127.0.0.1:{self.http_port}/healthz")
        return str(answer.json()["status"])

    async def grpc(self, root: bytes) -> int:
        """The health status by gRPC, over a new connection."""
        credentials = grpc.ssl_channel_credentials(root)
        # Without a pool of its own a channel may ride on the connection of an earlier one.
        options = [("grpc.use_local_subchannel_pool", 1)]
        address = f"localhost:{self.grpc_port}"
        async with grpc.aio.secure_channel(address, credentials, options) as channel:
            return await health_of(channel)

    async def open(self) -> bool:
        """Whether HTTP and gRPC answer clients that trust the current certificate."""
        root = self.files.certificate.read_bytes()
        try:
            return (await self.http(self.trust()), await self.grpc(root)) == ("ok", SERVING)
        except (httpx.ConnectError, grpc.aio.AioRpcError):
            return False


async def health_of(channel: grpc.aio.Channel) -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)).status)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def endpoints(shared_house: House, tmp_path_factory: Any) -> AsyncIterator[Endpoints]:
    files = CertificateFiles.inside(tmp_path_factory.mktemp("tls"))
    pair = {"tls_certificate_path": files.certificate, "tls_key_path": files.key}
    async with another_gateway(shared_house, **pair) as running:
        addresses = (running.house.url, running.house.grpc_address)
        yield Endpoints(files, *(int(address.rpartition(":")[2]) for address in addresses))


async def test_with_a_certificate_http_and_grpc_do_not_answer_without_tls(endpoints: Endpoints):
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"http://127.0.0.1:{endpoints.http_port}/healthz")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{endpoints.grpc_port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await health_of(channel)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("port_name", ["http_port", "grpc_port"])
async def test_nothing_older_than_tls_1_2_is_spoken(endpoints: Endpoints, port_name: str):
    client = endpoints.trust()
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.set_alpn_protocols(["h2", "http/1.1"])

    async def connect(version: ssl.TLSVersion) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            client.minimum_version = client.maximum_version = version
        _, writer = await asyncio.open_connection(
            "127.0.0.1", getattr(endpoints, port_name), ssl=client
        )
        writer.transport.abort()

    with pytest.raises(ConnectionResetError):
        await connect(ssl.TLSVersion.TLSv1_1)
    await connect(ssl.TLSVersion.TLSv1_2)


@pytest.mark.parametrize(
    "make_key",
    [
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: ec.generate_private_key(ec.SECP384R1()),
    ],
    ids=["P-256", "RSA", "P-384"],
)
async def test_a_renewed_certificate_is_served_without_a_restart(
    endpoints: Endpoints, make_key: Callable[[], Any]
):
    outdated = endpoints.trust(), endpoints.files.certificate.read_bytes()
    endpoints.files.renew(key=make_key())
    await eventually(endpoints.open)

    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        await endpoints.http(outdated[0])
    with pytest.raises(grpc.aio.AioRpcError):
        await endpoints.grpc(outdated[1])


async def test_a_bad_pair_leaves_the_last_good_one_in_force_and_one_line_in_the_log(
    endpoints: Endpoints, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.ERROR, logger="modelmill_service_kit.certificates")
    good = endpoints.trust(), endpoints.files.certificate.read_bytes()
    expired = endpoints.files.renew(ends=timedelta(minutes=-1))

    async def said() -> bool:
        assert (await endpoints.http(good[0]), await endpoints.grpc(good[1])) == ("ok", SERVING)
        return bool(caplog.messages)

    await eventually(said)
    await said()
    assert len(caplog.messages) == 1
    assert (
        f"{endpoints.files.certificate} expired on {expired:%Y-%m-%d %H:%M}" in caplog.messages[0]
    )

    endpoints.files.renew()
    await eventually(endpoints.open)


def _expired(files: CertificateFiles) -> str:
    ended = files.renew(starts=timedelta(days=-9), ends=timedelta(days=-2))
    return f"the certificate in {files.certificate} expired on {ended:%Y-%m-%d %H:%M} UTC"


def _early(files: CertificateFiles) -> str:
    files.renew(starts=timedelta(days=2), ends=timedelta(days=3))
    return f"the certificate in {files.certificate} is not valid before 20"


def _foreign_key(files: CertificateFiles) -> str:
    files.key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    return f"the key in {files.key} is not that of the certificate in {files.certificate}"


def _with_passphrase(files: CertificateFiles) -> str:
    files.key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), b"secret"))
    return f"{files.key} holds no private key in PEM without passphrase"


def _garbled(files: CertificateFiles) -> str:
    files.certificate.write_text("-----BEGIN CERTIFICATE-----\nno\n")
    return f"{files.certificate} holds no certificate in PEM"


def _missing(files: CertificateFiles) -> str:
    files.key.unlink()
    return f"cannot read {files.key}: No such file"


def _unserved_kind(files: CertificateFiles) -> str:
    files.renew(key=ed25519.Ed25519PrivateKey.generate())
    return f"the certificate in {files.certificate} must be for an RSA key"


@pytest.mark.parametrize(
    "spoil",
    [_expired, _early, _foreign_key, _with_passphrase, _garbled, _missing, _unserved_kind],
)
async def test_a_pair_that_is_no_good_stops_the_start_and_names_the_file(
    tmp_path: Path, spoil: Callable[[CertificateFiles], str]
):
    files = CertificateFiles.inside(tmp_path)
    said = spoil(files)
    settings = Settings(**_fields(tls_certificate_path=files.certificate, tls_key_path=files.key))
    with pytest.raises(CertificateError) as refused:
        await serve(settings, asyncio.Event())
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tls_key_path": "/run/gateway.key"}, "give both GATEWAY_TLS_CERTIFICATE_PATH and"),
        ({"grpc_address": "0.0.0.0:0"}, "GATEWAY_GRPC_ADDRESS=0.0.0.0:0 can be reached"),
        ({"http_address": "[::]:0"}, "GATEWAY_HTTP_ADDRESS=[::]:0 can be reached"),
    ],
)
async def test_a_public_address_is_refused_without_tls(changes: dict[str, Any], said: str):
    with pytest.raises(CertificateError) as refused:
        await serve(Settings(**_fields(**changes)), asyncio.Event())
    assert said in refused.value.message


async def test_behind_a_proxy_a_public_address_needs_no_tls(shared_house: House):
    changes = {"grpc_address": "0.0.0.0:0", "plaintext_behind_proxy": True}
    async with (
        another_gateway(shared_house, **changes) as running,
        httpx.AsyncClient(base_url=running.house.url) as client,
    ):
        assert (await client.get("/healthz")).is_success


async def test_the_process_says_it_in_one_line_and_ends_with_status_2(tmp_path: Path):
    files = CertificateFiles.inside(tmp_path)
    said = _expired(files)
    fields = _fields(tls_certificate_path=files.certificate, tls_key_path=files.key)
    ours = {f"GATEWAY_{name.upper()}": str(value) for name, value in fields.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "modelmill_gateway.main"),
        env={**os.environ, **ours},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert (process.returncode, output) == (2, b"")
    assert errors.decode().splitlines() == [f"gateway: {said}. Renew it"]


def _fields(**changes: Any) -> dict[str, Any]:
    """Settings of a gateway that must not get as far as to use them."""
    nowhere = "127.0.0.1:1"
    addresses = ("inference", "moderation", "data_prep", "trainer", "optimizer_builder")
    fields = {
        "nats_url": f"nats://{nowhere}",
        "nats_token": "none",
        "service_secret": "none",
        "artifact_root": "/nowhere",
        "work_root": "/nowhere",
        "jwt_issuer": "none",
        "jwt_audience": "none",
        "jwks_path": "/nowhere/jwks.json",
        **{f"{name}_address": nowhere for name in addresses},
        "http_address": "127.0.0.1:0",
    }
    return fields | changes
