"""Error of a service at its capacity limit."""

from modelmill_service_kit.errors import UnavailableError


class NoCapacityError(UnavailableError):
    """The process-wide limit is reached; a tenant's own limit is OverloadedError."""

    reason = "OVERLOADED"
