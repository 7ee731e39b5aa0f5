"""Prometheus figures of judging."""

from guard.verdict import Action, Direction
from prometheus_client import Counter, Histogram

VERDICTS = Counter("modelmill_verdicts", "Texts that were judged.", ["action", "direction"])
for _action in Action:
    for _direction in Direction:
        # There from the start: a rate sees the first block only if there was a zero before it.
        VERDICTS.labels(_action.name.lower(), _direction.value)

CHECK_SECONDS = Histogram(
    "modelmill_check_seconds",
    "Seconds that a whole text took to judge.",
    buckets=(
        *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
        *(0.1, 0.25, 0.5, 1, 2.5, 5),
    ),
)
AUDIT_DROPPED = Counter("modelmill_audit_dropped", "Audit records that were lost.")
