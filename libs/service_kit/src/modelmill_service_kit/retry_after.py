"""How long an HTTP server asks to wait."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_seconds(written: str | None, now: datetime) -> float | None:
    """What a Retry-After header asks for: seconds, or a date; None when it is neither."""
    if not written:
        return None
    if written.isascii() and written.isdigit() and len(written) < 10:
        return float(written)
    try:
        at = parsedate_to_datetime(written).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (at - now).total_seconds())
