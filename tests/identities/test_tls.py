"""TLS on the bus: neither side talks to one that it does not know, nor in the clear."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.broker_config import Identities, tls_settings
from modelmill_bus.bus import Bus
from modelmill_bus.deploy import make_streams
from modelmill_bus.subjects import policy_state
from modelmill_service_kit.bus_access import BusTls
from modelmill_service_kit.errors import PreconditionError, UnavailableError
from modelmill_testkit.nats_server import NatsServer, run_nats
from modelmill_testkit.waiting import eventually

LATE_SECONDS = 0.3


class Authority:
    """Signs certificates into a folder: ca.pem, and NAME.pem with NAME-key.pem."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._key = Ed25519PrivateKey.generate()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder.name)])
        self._write("ca", self._certificate(self._name, self._key, authority=True))

    def issue(self, name: str) -> None:
        key = Ed25519PrivateKey.generate()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._write(name, self._certificate(subject, key, authority=False))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / f"{name}-key.pem").write_bytes(pem)

    def tls(self, name: str | None = None) -> BusTls:
        """What somebody is told, who shows a certificate or none."""
        if name is None:
            return BusTls(self.folder / "ca.pem")
        own, key = self.folder / f"{name}.pem", self.folder / f"{name}-key.pem"
        return BusTls(self.folder / "ca.pem", own, key)

    def _certificate(
        self, subject: x509.Name, key: Ed25519PrivateKey, *, authority: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        public = self._key.public_key()
        return (
            x509.CertificateBuilder(self._name, subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(address, critical=False)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False)
            .sign(self._key, None)
        )

    def _write(self, name: str, certificate: x509.Certificate) -> None:
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "ours")
    made.issue("nats")
    made.issue("moderation")
    return made


@pytest_asyncio.fixture(params=[False, True], ids=["one side shows", "both show"])
async def broker(
    request: pytest.FixtureRequest, people: Identities, authority: Authority, tmp_path: Path
) -> AsyncIterator[NatsServer]:
    settings = people.authorization() + tls_settings(authority.folder, clients_show=request.param)
    async with run_nats(tmp_path / "nats", settings) as server:
        yield server


async def refusal(url: str, people: Identities, tls: BusTls | None) -> str:
    with pytest.raises((UnavailableError, PreconditionError)) as refused:
        async with Bus.connect(url, people.seed("moderation"), name="moderation", tls=tls):
            pass
    return str(refused.value)


async def test_who_knows_the_brokers_authority_talks_to_it_also_after_a_restart(
    people: Identities, authority: Authority, broker: NatsServer
):
    tls = authority.tls("moderation")
    await make_streams(broker.url, people.seed("deploy"), tls)
    moderation = people.seed("moderation")
    async with Bus.connect(broker.url, moderation, name="moderation", tls=tls) as bus:
        await bus.publish(policy_state("acme"), PolicyState(tenant="acme"))
        broker.kill()
        await broker.start()
        assert await bus.publish(policy_state("acme"), PolicyState(tenant="acme")) == 2


async def test_a_broker_with_a_certificate_of_the_next_authority_is_found_again(
    people: Identities, authority: Authority, tmp_path: Path
):
    # Ours are the files that the broker and the service read; both get new contents.
    settings = people.authorization() + tls_settings(authority.folder, clients_show=False)
    following = Authority(tmp_path / "following")
    following.issue("nats")
    async with run_nats(tmp_path / "nats", settings) as broker:
        tls = authority.tls()
        await make_streams(broker.url, people.seed("deploy"), tls)
        moderation = people.seed("moderation")
        async with Bus.connect(broker.url, moderation, name="moderation", tls=tls) as bus:
            broker.kill()
            for file in following.folder.iterdir():
                (authority.folder / file.name).write_bytes(file.read_bytes())
            await broker.start()
            await eventually(lambda: bus.connected)
            assert await bus.publish(policy_state("acme"), PolicyState(tenant="acme")) == 1


async def test_a_process_ends_whose_broker_came_back_as_a_stranger(
    people: Identities, authority: Authority, tmp_path: Path
):
    settings = people.authorization() + tls_settings(authority.folder, clients_show=False)
    stranger = Authority(tmp_path / "stranger")
    stranger.issue("nats")
    async with run_nats(tmp_path / "nats", settings) as broker:
        tls = BusTls(tmp_path / "ca.pem")
        tls.ca_file.write_bytes((authority.folder / "ca.pem").read_bytes())
        await make_streams(broker.url, people.seed("deploy"), tls)
        moderation = people.seed("moderation")
        async with asyncio.timeout(120):
            async with Bus.connect(broker.url, moderation, name="moderation", tls=tls) as bus:
                broker.kill()
                for file in stranger.folder.iterdir():
                    (authority.folder / file.name).write_bytes(file.read_bytes())
                await broker.start()
                await eventually(lambda: isinstance(bus._link.refusal, ssl.SSLError))
                assert not bus.connected


async def test_a_broker_of_another_authority_is_refused_at_once(
    people: Identities, broker: NatsServer, tmp_path: Path
):
    other = Authority(tmp_path / "theirs")
    other.issue("moderation")
    async with asyncio.timeout(60):
        said = await refusal(broker.url, people, other.tls("moderation"))
    assert f"{other.folder / 'ca.pem'} does not vouch for it" in said


async def test_a_busy_client_may_begin_the_handshake_late(authority: Authority, broker: NatsServer):
    address = broker.url.removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(*address)
    with closing(writer):
        with pytest.raises(TimeoutError):  # in the clear nothing is said meanwhile
            await asyncio.wait_for(reader.read(1), LATE_SECONDS)
        await writer.start_tls(authority.tls("moderation").context())
        assert (await reader.readline()).startswith(b"INFO")


async def test_a_client_that_says_nothing_is_told_that_the_broker_wants_tls(broker: NatsServer):
    address = broker.url.removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(*address)
    with closing(writer):
        kind, _, information = (await asyncio.wait_for(reader.readline(), 60)).partition(b" ")
    assert (kind, json.loads(information)["tls_required"]) == (b"INFO", True)


async def test_a_plain_client_gets_nowhere(
    people: Identities, broker: NatsServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("modelmill_bus.link.START_SECONDS", 3.0)
    assert "message broker at" in await refusal(broker.url, people, None)


async def test_a_plain_broker_is_refused_before_anything_is_said_to_it(
    people: Identities, authority: Authority, tmp_path: Path
):
    async with run_nats(tmp_path / "plain", people.authorization()) as plain, asyncio.timeout(60):
        assert "do not agree on TLS" in await refusal(plain.url, people, authority.tls())


async def test_a_broker_that_wants_a_certificate_takes_none_without(
    people: Identities, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("modelmill_bus.link.START_SECONDS", 3.0)
    settings = people.authorization() + tls_settings(authority.folder, clients_show=True)
    async with run_nats(tmp_path / "nats", settings) as strict:
        assert "message broker at" in await refusal(strict.url, people, authority.tls())


async def test_a_file_of_tls_that_is_not_there_is_named(people: Identities, tmp_path: Path):
    missing = tmp_path / "none.pem"
    said = await refusal("nats://127.0.0.1:1", people, BusTls(missing))
    assert str(missing) in said
