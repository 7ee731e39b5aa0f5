"""The access log: one line a request over HTTP, over gRPC or within a job, without its text."""

import logging

access_log = logging.getLogger("gateway.access")


def log_access(
    method: str, route: str, status: int | str, seconds: float, request_id: str, tenant: str | None
) -> None:
    """Write the line; `route` is the template, never the path or query that a caller wrote."""
    fields = {
        "method": method,
        "route": route,
        "status": status,
        "seconds": round(seconds, 6),
        "request_id": request_id,
        "tenant": tenant,
    }
    access_log.info("%s %s %s", method, route, status, extra={"fields": fields})
