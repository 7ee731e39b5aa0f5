"""Activate a tenant's policy by its record on the bus, without the moderation service."""

from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import policy_state
from modelmill_guard.bundle import Bundle


async def put_policy(bus: Bus, tenant: str, bundle: Bundle, *, by: str = "operator") -> None:
    """The next version, whatever is in force."""
    last = await bus.last(policy_state(tenant), PolicyState)
    state = PolicyState(
        tenant=tenant,
        version=last.body.version + 1 if last else 1,
        digest=bundle.digest,
        bundle=bundle.content,
        changed_by=by,
    )
    await bus.publish(policy_state(tenant), state, expect_last=last.sequence if last else 0)
