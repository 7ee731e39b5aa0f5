"""The curves of a job that was not watched, from the events that are kept of it."""

from typing import Any

from modelmill_cli.gateway_client import GatewayClient
from modelmill_cli.loss_curve import LossCurve

PAGE = 100
MAX_PAGES = 20
"""More events than are kept of any job."""


def curve_of(client: GatewayClient, job_id: str) -> LossCurve:
    """What its events say of its steps, read page by page, newest first."""
    curve = LossCurve()
    after: dict[str, Any] = {}
    for _ in range(MAX_PAGES):
        page = client.get(f"/v1/jobs/{job_id}/events", limit=PAGE, **after)
        events = page.get("data") or []
        for event in events:
            curve.observe(event.get("data") or {})
        if not page.get("has_more") or not events:
            break
        after = {"after": events[-1]["id"]}
    return curve
