"""Prometheus counters of the bus."""

from prometheus_client import Counter

PUBLISHED = Counter(
    "modelmill_messages_published", "Messages that a stream has stored.", ["subject"]
)
PUBLISH_FAILED = Counter(
    "modelmill_messages_failed", "Publishes with no stored message to show.", ["subject", "reason"]
)
