"""What a service without room says."""

from modelmill_service_kit.errors import UnavailableError


class FullError(UnavailableError):
    """There is no room for it here now, whoever asks; a tenant's own limit is OverloadedError."""

    reason = "OVERLOADED"
