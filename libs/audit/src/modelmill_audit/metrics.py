"""Prometheus figures of verdicts, the same in every service that judges."""

from modelmill_guard.verdict import Action, Direction
from prometheus_client import Counter

VERDICTS = Counter("modelmill_verdicts", "Texts that were judged.", ["action", "direction"])
for _action in Action:
    for _direction in Direction:
        # There from the start: a rate sees the first block only if there was a zero before it.
        VERDICTS.labels(_action.name.lower(), _direction.value)

RULE_MATCHES = Counter(
    "modelmill_rule_matches",
    "Texts in which a rule matched, by rule and by whose texts they were.",
    ["rule", "category", "tenant"],
)
AUDIT_DROPPED = Counter("modelmill_audit_dropped", "Audit records that were lost.")

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
