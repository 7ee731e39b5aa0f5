"""Alerts of an installation."""

from typing import Literal

from pydantic import Field

from modelmill_gateway.entrypoints.schemas.base import OrNull, ResponseModel, UnixSeconds
from modelmill_gateway.ports import ActiveAlert


class Alert(ResponseModel):
    """Alert of Prometheus that fires (`firing`), or will if nothing changes (`pending`)."""

    object: Literal["alert"] = "alert"
    name: str = Field(examples=["GatewayErrors"])
    state: str = Field(examples=["firing"])
    severity: OrNull[str] = Field(
        description="page: callers notice it; ticket: they will.", examples=["page"]
    )
    summary: str = Field(examples=["More than one request in twenty ends with an error of ours."])
    remedy: OrNull[str] = Field(examples=["See which service is away or slow on the overview."])
    runbook_url: OrNull[str] = Field(
        examples=["http://127.0.0.1:8080/docs/runbooks/gateway-errors/"]
    )
    since: UnixSeconds | None
    labels: dict[str, str] = Field(
        description="What the alert is about.", examples=[{"job": "gateway"}]
    )

    @classmethod
    def of_active(cls, alert: ActiveAlert) -> "Alert":
        """An alert of the source."""
        return cls.of(alert, since=int(alert.since) or None, labels=dict(alert.labels))
