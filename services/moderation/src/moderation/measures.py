"""Prometheus figures of judging."""

from typing import Literal, get_args

from guard.verdict import Action, Direction
from prometheus_client import Counter, Histogram

from moderation.domain.no_opinion import Failure

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
RULE_MATCHES = Counter(
    "modelmill_rule_matches",
    "Texts in which a rule matched, by rule and by whose texts they were.",
    ["rule", "category", "tenant"],
)
OTHER = "other"
MAX_RULES = 500
MAX_TENANTS = 50


class FirstNames:
    """Names as labels of a metric: the first `limit` that come are themselves, the rest "other".

    Callers choose tenants' names and write rules: without a bound they would choose our memory.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        """The label for a name, always the same once given."""
        if name in self._known:
            return name
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(name)
        return name


AUDIT_DROPPED = Counter("modelmill_audit_dropped", "Audit records that were lost.")

JudgeKind = Literal["classifier", "service"]
JUDGE_SECONDS = Histogram(
    "modelmill_judge_seconds",
    "Seconds that a judge took for a window, with or without an opinion.",
    ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
JUDGE_FAILURES = Counter(
    "modelmill_judge_failures", "Windows on which a judge gave no opinion.", ["kind", "reason"]
)
for _kind in get_args(JudgeKind):
    JUDGE_SECONDS.labels(_kind)
    for _failure in Failure:
        JUDGE_FAILURES.labels(_kind, _failure.value)
