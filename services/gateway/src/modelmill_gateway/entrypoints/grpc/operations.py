"""What operators see of an installation beside its status, over gRPC."""

from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.gateway.v1 import gateway_service_pb2 as pb

from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.ports import ActiveAlert
from modelmill_gateway.tenants.find_problems import FindProblems
from modelmill_gateway.tenants.show_alerts import ShowAlerts


class OperationsProcedures:
    """ListFindings and ListAlerts."""

    def __init__(self, find_problems: FindProblems, show_alerts: ShowAlerts) -> None:
        self._find_problems = find_problems
        self._show_alerts = show_alerts

    async def ListFindings(
        self, _: pb.ListFindingsRequest, call: RequestContext
    ) -> pb.ListFindingsResponse:
        found = await self._find_problems()
        return pb.ListFindingsResponse(
            findings=[
                pb.Finding(
                    check=each.check,
                    severity=each.severity.value,
                    problem=each.problem,
                    remedy=each.remedy,
                )
                for each in found
            ]
        )

    async def ListAlerts(
        self, _: pb.ListAlertsRequest, call: RequestContext
    ) -> pb.ListAlertsResponse:
        return pb.ListAlertsResponse(alerts=map(_alert, await self._show_alerts()))


def _alert(alert: ActiveAlert) -> pb.Alert:
    return pb.Alert(
        name=alert.name,
        state=alert.state,
        severity=alert.severity,
        summary=alert.summary,
        remedy=alert.remedy,
        runbook_url=alert.runbook_url,
        since=Timestamp(seconds=int(alert.since)) if alert.since else None,
        labels=alert.labels,
    )
