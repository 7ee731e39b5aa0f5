"""Verdicts on their way to `audit.<service>`: behind the answers, never in front of them."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1.moderation_events_pb2 import ModerationRecorded
from modelmill_bus.bus import Publishes
from modelmill_bus.record_queue import RecordQueue
from modelmill_bus.subjects import audit
from modelmill_guard.verdict import Direction

from modelmill_audit.metrics import (
    AUDIT_DROPPED,
    MAX_RULES,
    MAX_TENANTS,
    OTHER,
    RULE_MATCHES,
    VERDICTS,
    FirstNames,
)
from modelmill_audit.text_judged import TextJudged

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
