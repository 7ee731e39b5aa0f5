"""What is on record of requests, as tests read it."""

from dataclasses import dataclass

from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch, UsageRecorded
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import usage_recorded


@dataclass(frozen=True)
class Recorded:
    """One record."""

    body: UsageRecorded


async def last_usage(bus: Bus, tenant: str) -> Recorded | None:
    """The newest record of the tenant."""
    stored = await bus.last(usage_recorded(tenant), UsageBatch)
    return Recorded(stored.body.requests[-1]) if stored is not None else None


async def all_usage(bus: Bus, tenant: str = "*") -> list[UsageRecorded]:
    """All records of the tenant, or of everybody."""
    return [
        record
        async for stored in bus.replay([f"usage.recorded.{tenant}"])
        for record in stored.body.requests
    ]
