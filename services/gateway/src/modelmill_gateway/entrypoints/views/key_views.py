"""API keys as their tenant reads them; the key itself is in none of them but the first."""

from decimal import Decimal

from modelmill.gateway.v1.gateway_events_pb2 import KeyState, Limits

from modelmill_gateway.entrypoints.bodies.key_body import MICROS
from modelmill_gateway.entrypoints.views.job_views import View, maybe_unix_seconds, unix_seconds


def key_view(state: KeyState, status: str, limits: Limits) -> View:
    """A key's record."""
    return {
        "id": state.key_id,
        "object": "api_key",
        "name": state.name,
        "prefix": state.prefix,
        "status": status,
        "scopes": list(state.scopes),
        "models": list(state.models),
        "limits": limits_view(limits),
        "expires_at": maybe_unix_seconds(state, "expires_at"),
        "created_at": unix_seconds(state.created_at),
        "created_by": state.created_by,
        "changed_by": state.changed_by,
    }


def limits_view(limits: Limits) -> View:
    """Limits as they are asked for; null where there is none."""
    return {
        "requests_per_minute": limits.requests_per_minute or None,
        "tokens_per_minute": limits.tokens_per_minute or None,
        "parallel_requests": limits.parallel_requests or None,
        "tokens": limits.tokens or None,
        "money": money(limits.micros) if limits.micros else None,
        "period": limits.period or None,
    }


def money(micros: int) -> str:
    """Millionths as a decimal number, without zeros behind it."""
    return f"{(Decimal(micros) / MICROS).normalize():f}"
