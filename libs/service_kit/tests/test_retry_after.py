"""What servers write when they ask to wait."""

from datetime import UTC, datetime

import pytest
from modelmill_service_kit.breaker import retry_after_seconds

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("120", 120),
        ("Wed, 25 Nov 2026 12:00:30 GMT", 30),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0),
        ("soon", None),
        ("-1", None),
        ("", None),
        (None, None),
        ("9" * 400, None),
        ("Fri, 31 Dec 9999 23:30:00 -0100", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(written: str | None, seconds: float | None):
    assert retry_after_seconds(written, NOW) == seconds
