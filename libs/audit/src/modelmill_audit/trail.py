"""Audit trail: verdicts are counted, and recorded on `audit.<service>` after the answer."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1.moderation_events_pb2 import ModerationRecorded
from modelmill_bus.bus import Publishes
from modelmill_bus.record_queue import RecordQueue
from modelmill_bus.subjects import audit
from modelmill_guard.verdict import Action, Direction, Verdict
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


@dataclass(frozen=True)
class TextJudged:
    """A text was judged. It carries the text's hash, so that the text itself goes nowhere."""

    tenant: str
    direction: Direction
    action: Action
    matched: frozenset[tuple[str, str]]
    """Ids of rules and judges that matched, each with a category."""
    policy_digest: str
    text_sha256: str
    """Hex."""
    unanswered: tuple[str, ...] = ()
    """Judges that gave no opinion, where the policy lets the text pass then."""

    @classmethod
    def by(
        cls, verdict: Verdict, *, tenant: str, direction: Direction, text_sha256: str
    ) -> "TextJudged":
        """What is remembered of a verdict of the guard."""
        return cls(
            tenant=tenant,
            direction=direction,
            action=verdict.action,
            matched=frozenset((match.rule_id, match.category) for match in verdict.matches),
            policy_digest=verdict.policy_digest,
            text_sha256=text_sha256,
            unanswered=verdict.unanswered,
        )


DIRECTIONS = {Direction.INPUT: pb.DIRECTION_INPUT, Direction.OUTPUT: pb.DIRECTION_OUTPUT}


class AuditTrail:
    """Counts every verdict, and records those in which something matched or went unanswered.

    Args:
        service: who judges; the subject is `audit.<service>`.
        size: records that may wait.
    """

    def __init__(
        self,
        bus: Publishes,
        service: str,
        size: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._records = RecordQueue(bus, "audit records", size, AUDIT_DROPPED.inc)
        self._subject = audit(service)
        self._now = now
        self._rule_names, self._tenant_names = FirstNames(MAX_RULES), FirstNames(MAX_TENANTS)

    def record(self, judged: TextJudged) -> None:
        """Take the record; returns at once, whatever the bus does."""
        VERDICTS.labels(judged.action.name.lower(), judged.direction.value).inc()
        if not judged.matched and not judged.unanswered:
            return
        self._count_rules(judged)
        recorded = ModerationRecorded(
            tenant=judged.tenant,
            direction=DIRECTIONS[judged.direction],
            action=pb.Action.ValueType(judged.action),
            rule_ids=sorted({rule for rule, _ in judged.matched}),
            text_sha256=judged.text_sha256,
            policy_digest=judged.policy_digest,
            unanswered_judges=judged.unanswered,
        )
        recorded.at.FromDatetime(self._now())
        self._records.put(self._subject, recorded, msg_id=uuid.uuid4().hex)

    def _count_rules(self, judged: TextJudged) -> None:
        tenant = self._tenant_names(judged.tenant)
        for rule, category in judged.matched:
            name = self._rule_names(f"{rule}/{category}")
            labels = (OTHER, OTHER) if name == OTHER else (rule, category)
            RULE_MATCHES.labels(*labels, tenant).inc()

    async def run(self) -> None:
        """Publish what waits until cancelled."""
        await self._records.run()

    async def drain(self, timeout: float) -> None:
        """Wait until everything is published, at most `timeout` seconds; the rest is dropped."""
        await self._records.drain(timeout)
