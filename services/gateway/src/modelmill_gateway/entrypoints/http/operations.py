"""What operators see of an installation beside its status."""

from starlette.requests import Request

from modelmill_gateway.entrypoints.schemas.alerts import Alert
from modelmill_gateway.entrypoints.schemas.base import WholeList
from modelmill_gateway.entrypoints.schemas.capacity import CapacityReport
from modelmill_gateway.entrypoints.schemas.findings import ReportedFinding
from modelmill_gateway.tenants.find_problems import FindProblems
from modelmill_gateway.tenants.show_alerts import ShowAlerts
from modelmill_gateway.tenants.show_capacity import ShowCapacity


class OperationsRoutes:
    """/v1/capacity, /v1/findings and /v1/alerts."""

    def __init__(
        self, find_problems: FindProblems, show_alerts: ShowAlerts, show_capacity: ShowCapacity
    ) -> None:
        self._show_capacity = show_capacity
        self._find_problems = find_problems
        self._show_alerts = show_alerts

    async def get_capacity(self, _: Request) -> CapacityReport:
        return CapacityReport.of_capacity(await self._show_capacity())

    async def list_findings(self, _: Request) -> WholeList[ReportedFinding]:
        found = await self._find_problems()
        return WholeList[ReportedFinding](data=[*map(ReportedFinding.of_found, found)])

    async def list_alerts(self, _: Request) -> WholeList[Alert]:
        return WholeList[Alert](data=[*map(Alert.of_active, await self._show_alerts())])
