"""NATS consumer of model announcements: unpack, call the use case."""

import asyncio
from typing import Any

from modelmill_bus.bus import Bus, Stored
from modelmill_bus.subjects import DEFAULT_BUILDS, MODEL_READY

from modelmill_optimizer_builder.order_default_build import OrderDefaultBuild


async def follow_models(bus: Bus, order: OrderDefaultBuild, stopping: asyncio.Event) -> None:
    """Order default builds until `stopping`; replicas share the durable consumer."""

    async def handle(stored: Stored[Any]) -> None:
        await order(stored.body)

    await bus.consume(DEFAULT_BUILDS, [MODEL_READY], handle, stopping)
