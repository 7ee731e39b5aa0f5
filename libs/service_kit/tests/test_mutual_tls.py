"""Between services: who shows no certificate of the authority, or another name, is refused."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1 import moderation_service_pb2_grpc as pb_grpc
from modelmill_cli.certificates import CertificateFolder
from modelmill_service_kit.errors import (
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.settings import ServiceSettings
from modelmill_testkit.waiting import eventually
from service_kit_support.made_certificates import certificates, identity, of_another_life, put

SECRET = "a-secret-of-the-tests"


class Judge(pb_grpc.ModerationServiceServicer):
    """Says what it is told, once or until the caller stops."""

    async def Check(self, request, context):
        return pb.CheckResponse(verdict=pb.Verdict(text=request.text))

    async def Guard(self, request_iterator, context):
        async for request in request_iterator:
            yield pb.GuardResponse(released=request.text)


def credentials(
    believes: CertificateFolder, shows: CertificateFolder | None = None
) -> grpc.ChannelCredentials:
    """What a client that is not ours would use."""
    pair = shows and (shows.key("gateway").read_bytes(), shows.certificate("gateway").read_bytes())
    return grpc.ssl_channel_credentials(believes.certificate("ca").read_bytes(), *(pair or ()))


async def judged(channel: grpc.aio.Channel) -> str:
    with domain_errors("moderation"):
        stub = pb_grpc.ModerationServiceStub(channel)
        answer = await stub.Check(pb.CheckRequest(text="hello"), timeout=60)
    return str(answer.verdict.text)


@dataclass(frozen=True)
class Moderation:
    """A server that takes calls from the gateway alone."""

    target: str
    made: CertificateFolder

    async def judge_as(self, name: str, *, secret: str = SECRET, peer: str = "moderation") -> str:
        shown = identity(self.made, name)
        async with open_channel(self.target, secret, identity=shown, peer=peer) as channel:
            return await judged(channel)

    async def judge_with(self, credentials: grpc.ChannelCredentials) -> str:
        # Without a pool of its own a channel may ride on the connection of an earlier one.
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(self.target, credentials, options) as channel:
            return await judged(channel)


@pytest_asyncio.fixture
async def moderation(tmp_path: Path) -> AsyncIterator[Moderation]:
    made = certificates(tmp_path / "ours")
    settings = ServiceSettings(
        nats_url="nats://127.0.0.1:1",
        nats_token="none",
        service_secret=SECRET,
        artifact_root="/nowhere",
        drain_seconds=0,
        mtls_authority_path=made.certificate("ca"),
        mtls_certificate_path=made.certificate("moderation"),
        mtls_key_path=made.key("moderation"),
    )
    identity = settings.mutual_tls()
    server = RpcServer.for_services(settings, identity, callers=["gateway"])
    pb_grpc.add_ModerationServiceServicer_to_server(Judge(), server.grpc)
    async with server:
        yield Moderation(f"127.0.0.1:{server.port}", made)


async def test_a_caller_whose_certificate_says_that_it_may_is_answered(moderation: Moderation):
    assert await moderation.judge_as("gateway") == "hello"


async def test_a_caller_without_tls_is_refused(moderation: Moderation):
    async with open_channel(moderation.target, SECRET) as channel:
        with pytest.raises(UnavailableError):
            await judged(channel)


async def test_a_caller_without_a_certificate_is_refused(moderation: Moderation):
    with pytest.raises(UnavailableError):
        await moderation.judge_with(credentials(moderation.made))


async def test_a_certificate_of_another_authority_is_refused(moderation: Moderation, tmp_path):
    theirs = certificates(tmp_path / "theirs")
    with pytest.raises(UnavailableError):
        await moderation.judge_with(credentials(moderation.made, theirs))


async def test_an_expired_certificate_is_refused(moderation: Moderation, tmp_path: Path):
    late = of_another_life(moderation.made, tmp_path / "late", timedelta(minutes=-1))
    with pytest.raises(UnavailableError):
        await moderation.judge_with(credentials(moderation.made, late))
    # What was refused is its age: the same maker's that lives is answered, up to the secret.
    young = of_another_life(moderation.made, tmp_path / "young", timedelta(minutes=5))
    with pytest.raises(UnauthenticatedError):
        await moderation.judge_with(credentials(moderation.made, young))


async def test_a_good_certificate_of_a_service_that_has_no_business_here_is_refused(
    moderation: Moderation,
):
    with pytest.raises(PermissionDeniedError):
        await moderation.judge_as("trainer")


async def test_a_certificate_does_not_stand_in_for_the_secret(moderation: Moderation):
    with pytest.raises(UnauthenticatedError):
        await moderation.judge_as("gateway", secret="guess")


async def test_health_needs_a_certificate_but_neither_the_secret_nor_a_certain_name(
    moderation: Moderation,
):
    shown = identity(moderation.made, "trainer")
    async with open_channel(
        moderation.target, "guess", identity=shown, peer="moderation"
    ) as channel:
        answer = await HealthStub(channel).Check(HealthCheckRequest(), timeout=60)
    assert answer.status == HealthCheckResponse.SERVING

    async with grpc.aio.secure_channel(moderation.target, credentials(moderation.made)) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await HealthStub(channel).Check(HealthCheckRequest(), timeout=60)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda ours, _: put(ours, "moderation", ours, "trainer"), "another service's"),
        (lambda ours, late: put(ours, "moderation", late, "moderation"), "has expired. Renew it"),
    ],
    ids=["another service", "expired"],
)
async def test_a_server_that_cannot_prove_its_name_is_not_spoken_to_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[..., None], said: str
):
    ours = certificates(tmp_path / "ours")
    spoil(ours, of_another_life(ours, tmp_path / "late", timedelta(minutes=-1)))
    pair = (ours.key("moderation").read_bytes(), ours.certificate("moderation").read_bytes())
    server = RpcServer("127.0.0.1:0", SECRET, credentials=grpc.ssl_server_credentials([pair]))
    pb_grpc.add_ModerationServiceServicer_to_server(Judge(), server.grpc)
    async with server:
        served = Moderation(f"127.0.0.1:{server.port}", ours)
        with pytest.raises(UnavailableError, match="moderation does not answer"):
            await served.judge_as("gateway")
    assert any(said in line for line in caplog.messages)


async def test_a_renewed_pair_is_shown_to_callers_without_a_restart(moderation: Moderation):
    put(moderation.made, "moderation", moderation.made, "trainer")

    async def shown() -> bool:
        try:
            # A new pair each time, and so a connection of its own.
            return await moderation.judge_as("gateway", peer="trainer") == "hello"
        except UnavailableError:
            return False

    await eventually(shown)


async def test_a_channel_shows_the_renewed_pair_and_calls_in_hand_go_on(moderation: Moderation):
    ours = moderation.made
    shown = identity(ours, "gateway")
    async with AsyncExitStack() as stack:
        channel = open_channel(moderation.target, SECRET, identity=shown, peer="moderation")
        stub = pb_grpc.ModerationServiceStub(await stack.enter_async_context(channel))
        texts: asyncio.Queue[str] = asyncio.Queue()

        async def requests() -> AsyncIterator[pb.GuardRequest]:
            while text := await texts.get():
                yield pb.GuardRequest(text=text)

        guarding = stub.Guard(requests(), timeout=30)
        texts.put_nowait("before")
        assert (await guarding.read()).released == "before"

        put(ours, "gateway", ours, "trainer")

        async def is_another() -> bool:
            try:
                return not await judged(channel)
            except PermissionDeniedError:
                return True

        await eventually(is_another)
        texts.put_nowait("after")
        assert (await guarding.read()).released == "after"
        texts.put_nowait("")
        assert await guarding.read() is grpc.aio.EOF


async def test_while_authorities_change_both_are_believed(moderation: Moderation, tmp_path: Path):
    following = certificates(tmp_path / "following")
    both = [made.certificate("ca").read_bytes() for made in (moderation.made, following)]
    moderation.made.certificate("ca").write_bytes(b"".join(both))

    async def is_let_in() -> bool:
        try:
            await moderation.judge_with(credentials(moderation.made, following))
        except UnavailableError:
            return False
        except UnauthenticatedError:  # past TLS, and without the secret
            return True
        return False

    await eventually(is_let_in)
    assert await moderation.judge_as("gateway") == "hello"
