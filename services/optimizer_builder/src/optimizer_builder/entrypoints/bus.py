"""Events that optimizer-builder follows."""

import asyncio
from typing import Any

from jobs.bus import Bus
from jobs.envelope import Stored
from jobs.subjects import MODEL_READY

from optimizer_builder.order_default_build import OrderDefaultBuild

DURABLE = "optimizer-builder-default-build"
"""All replicas share it: one of them orders the build."""


async def follow_models(bus: Bus, order_build: OrderDefaultBuild, stopping: asyncio.Event) -> None:
    """Hand each new version to the use case, until `stopping`."""

    async def on_ready(event: Stored[Any]) -> None:
        await order_build(event.body)

    await bus.consume(DURABLE, [MODEL_READY], on_ready, stopping)
