"""Who asks."""

from starlette.requests import Request

from modelmill_gateway.entrypoints.http.requests import caller_of
from modelmill_gateway.entrypoints.schemas.callers import CallerIdentity


class CallerRoutes:
    """/v1/me."""

    async def get_me(self, request: Request) -> CallerIdentity:
        return CallerIdentity.of_caller(caller_of(request))
