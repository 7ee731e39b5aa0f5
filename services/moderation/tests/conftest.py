"""The whole service on a real gRPC socket, beside a real broker."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1 import moderation_service_pb2_grpc as pb_grpc
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import policy_state
from modelmill_guard.bundle import compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_moderation.main import serve
from modelmill_moderation.settings import Settings
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.ports import free_port
from modelmill_testkit.service_process import SECRET
from modelmill_testkit.shared_nats import SharedNats, broker_for

sys.path.append(str(Path(__file__).parent))


@dataclass
class Moderation:
    """A running service and what a test looks at around it."""

    stub: Any
    bus: Bus
    nats: NatsServer

    async def check(
        self, text: str, *, tenant: str = "acme", direction: int = pb.DIRECTION_INPUT
    ) -> pb.Verdict:
        request = pb.CheckRequest(tenant=tenant, text=text, direction=direction)
        with domain_errors():
            response = await self.stub.Check(request, timeout=60)
        verdict: pb.Verdict = response.verdict
        return verdict

    async def guard(
        self,
        pieces: Sequence[str],
        *,
        tenant: str = "acme",
        direction: int = pb.DIRECTION_INPUT,
        marks_end: bool = True,
    ) -> list[pb.GuardResponse]:
        requests = [pb.GuardRequest(text=piece) for piece in pieces]
        requests[0].tenant, requests[0].direction = tenant, direction
        requests[-1].end_of_text = marks_end
        responses: list[pb.GuardResponse] = []
        call = self.stub.Guard(timeout=60)
        with domain_errors():
            # One by one: the service may end the text at any piece, and then hears no more.
            for request in requests:
                await call.write(request)
                responses.append(await call.read())
                if responses[-1].HasField("verdict"):
                    break
            await call.done_writing()
            if (last := await call.read()) is not grpc.aio.EOF:
                responses.append(last)
        return responses

    async def put_policy(self, tenant: str, yaml: str, **changes: Any) -> str:
        """Put a policy in force as an operator would; returns its digest."""
        bundle = compile_policy(parse_policy({"test": yaml}))
        last = await self.bus.last(policy_state(tenant), PolicyState)
        state = PolicyState(
            **{
                "tenant": tenant,
                "version": last.body.version + 1 if last else 1,
                "digest": bundle.digest,
                "bundle": bundle.content,
                "changed_by": "operator",
                **changes,
            }
        )
        sequence = last.sequence if last else 0
        await self.bus.publish(policy_state(tenant), state, expect_last=sequence)
        return str(state.digest)

    async def policy(self, tenant: str = "shared") -> PolicyState | None:
        stored = await self.bus.last(policy_state(tenant), PolicyState)
        return stored.body if stored else None


StartModeration = Callable[..., AbstractAsyncContextManager[Moderation]]


@pytest.fixture
async def nats(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[NatsServer | SharedNats]:
    async with broker_for(request.node, tmp_path / "nats") as server:
        yield server


@pytest.fixture
def start_moderation(nats: NatsServer, tmp_path: Path) -> StartModeration:
    """Starts the service beside the broker, with the given settings changed."""

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[Moderation]:
        settings = Settings(
            **{
                "nats_url": nats.url,
                "nats_token": nats.token,
                "service_secret": SECRET,
                "artifact_root": tmp_path / "artifacts",
                "grpc_address": f"127.0.0.1:{free_port()}",
                **changes,
            }
        )
        stopping = asyncio.Event()
        service = asyncio.create_task(serve(settings, stopping))
        try:
            async with (
                Bus.connect(nats.url, nats.token, name="test") as bus,
                open_channel(settings.grpc_address, SECRET) as channel,
            ):
                ready = asyncio.create_task(channel.channel_ready())
                await asyncio.wait(
                    {ready, service}, return_when=asyncio.FIRST_COMPLETED, timeout=60
                )
                if service.done():
                    ready.cancel()
                    await service
                yield Moderation(pb_grpc.ModerationServiceStub(channel), bus, nats)
        finally:
            stopping.set()
            if not service.done():
                await asyncio.wait_for(service, 60)

    return start


@pytest.fixture
async def moderation(start_moderation: StartModeration) -> AsyncIterator[Moderation]:
    """The service with its packaged policies."""
    async with start_moderation() as running:
        yield running
