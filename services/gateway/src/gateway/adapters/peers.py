"""The services that the gateway calls, one long-lived channel each."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from service_kit.grpc_client import open_channel

from gateway.adapters.data_prep import GrpcDataPrep
from gateway.adapters.inference import GrpcEngines
from gateway.adapters.moderation import GrpcModeration
from gateway.adapters.trainer import GrpcTrainer


@dataclass(frozen=True)
class Peers:
    """Connected on first use."""

    engines: GrpcEngines
    moderation: GrpcModeration
    data_prep: GrpcDataPrep
    trainer: GrpcTrainer


@asynccontextmanager
async def open_peers(
    *, inference: str, moderation: str, data_prep: str, trainer: str, secret: str
) -> AsyncIterator[Peers]:
    """Channels to the given addresses, closed when the block ends."""
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(open_channel(address, secret))
            for address in (inference, moderation, data_prep, trainer)
        ]
        yield Peers(
            GrpcEngines(channels[0]),
            GrpcModeration(channels[1]),
            GrpcDataPrep(channels[2]),
            GrpcTrainer(channels[3]),
        )
