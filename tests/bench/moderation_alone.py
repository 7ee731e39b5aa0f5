"""The moderation service alone beside a broker, on a folder that goes."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill.moderation.v1.moderation_service_pb2_grpc import ModerationServiceStub
from modelmill_bus.bus import Bus
from modelmill_guard.bundle import Bundle
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.service_process import SECRET, running_service, service_settings

from tests.put_policy import put_policy

TENANT = "bench"


@dataclass(frozen=True)
class Moderation:
    """What answers, and what puts policies in force."""

    address: str
    stub: Any
    """A `ModerationServiceStub` of grpc.aio."""
    bus: Bus

    async def put_policy(self, bundle: Bundle) -> None:
        """Put it in force for the bench's tenant."""
        await put_policy(self.bus, TENANT, bundle, by="bench")


@asynccontextmanager
async def moderation_alone() -> AsyncIterator[Moderation]:
    """Started with its packaged policies, until the block ends."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        async with (
            run_nats(folder / "nats") as nats,
            Bus.connect(nats.url, nats.token, name="bench") as bus,
            running_service("moderation", service_settings(nats, folder)) as service,
            open_channel(service.address, SECRET) as channel,
        ):
            yield Moderation(service.address, ModerationServiceStub(channel), bus)
