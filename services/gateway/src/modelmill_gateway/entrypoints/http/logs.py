"""The request log."""

from modelmill_service_kit.errors import PreconditionError
from starlette.requests import Request

from modelmill_gateway.domain.exchanges import NO_SEAL
from modelmill_gateway.entrypoints.http.requests import caller_of, shown_page
from modelmill_gateway.entrypoints.schemas.base import Page
from modelmill_gateway.entrypoints.schemas.logs import DeletedLogs, LoggedRequestRecord
from modelmill_gateway.entrypoints.schemas.queries import LogQuery, LogUserQuery
from modelmill_gateway.request_log.read_log import LoggedRequestFilter, ReadLog


class LogRoutes:
    """/v1/logs."""

    def __init__(self, read_log: ReadLog | None) -> None:
        self._opened = read_log

    @property
    def _read_log(self) -> ReadLog:
        if self._opened is None:
            raise PreconditionError(NO_SEAL)
        return self._opened

    async def list_logs(self, request: Request) -> Page[LoggedRequestRecord]:
        query = LogQuery.of(request.query_params)
        wanted = LoggedRequestFilter(query.model, query.version_id, query.user)
        found = await self._read_log.page(caller_of(request).tenant, wanted, query.page)
        return shown_page(found, LoggedRequestRecord.of_logged)

    async def get_log(self, request: Request) -> LoggedRequestRecord:
        request_id = request.path_params["request_id"]
        found = await self._read_log.get(caller_of(request).tenant, request_id)
        return LoggedRequestRecord.of_logged(found)

    async def delete_logs(self, request: Request) -> DeletedLogs:
        user = LogUserQuery.of(request.query_params).user
        count = await self._read_log.delete_user(caller_of(request).tenant, user)
        return DeletedLogs(user=user, requests=count)
