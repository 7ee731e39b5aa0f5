"""Verdicts on their way to `audit.moderation`: behind the answers, never in front of them."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from google.protobuf.message import Message
from guard.verdict import Direction
from jobs.subjects import audit
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1.moderation_events_pb2 import ModerationRecorded
from service_kit.errors import UnavailableError

from moderation.domain.judged import TextJudged
from moderation.measures import (
    AUDIT_DROPPED,
    MAX_RULES,
    MAX_TENANTS,
    OTHER,
    RULE_MATCHES,
    VERDICTS,
    FirstNames,
)

log = logging.getLogger(__name__)

SUBJECT = audit("moderation")
DIRECTIONS = {Direction.INPUT: pb.DIRECTION_INPUT, Direction.OUTPUT: pb.DIRECTION_OUTPUT}
RETRY_SECONDS = 1.0


class AuditBus(Protocol):
    """The part of the bus that this needs."""

    async def publish(
        self,
        subject: str,
        body: Message,
        *,
        msg_id: str | None = None,
        expect_last: int | None = None,
    ) -> int: ...


class AuditQueue:
    """A bounded queue in front of the bus, for texts in which something matched or went unanswered.

    While the bus is away records wait, up to the bound; what comes on top is dropped and counted.
    """

    def __init__(
        self,
        bus: AuditBus,
        size: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._bus = bus
        self._now = now
        self._rule_names, self._tenant_names = FirstNames(MAX_RULES), FirstNames(MAX_TENANTS)
        self._waiting: asyncio.Queue[ModerationRecorded] = asyncio.Queue(size)

    def record(self, judged: TextJudged) -> None:
        """Take the record; returns at once, whatever the bus does."""
        verdict = judged.verdict
        VERDICTS.labels(verdict.action.name.lower(), judged.direction.value).inc()
        if not verdict.matches and not verdict.unanswered:
            return
        self._count_rules(judged)
        recorded = ModerationRecorded(
            tenant=judged.tenant,
            direction=DIRECTIONS[judged.direction],
            action=pb.Action.ValueType(verdict.action),
            rule_ids=sorted({match.rule_id for match in verdict.matches}),
            text_sha256=judged.text_sha256,
            policy_digest=verdict.policy_digest,
            unanswered_judges=verdict.unanswered,
        )
        recorded.at.FromDatetime(self._now())
        try:
            self._waiting.put_nowait(recorded)
        except asyncio.QueueFull:
            AUDIT_DROPPED.inc()

    def _count_rules(self, judged: TextJudged) -> None:
        tenant = self._tenant_names(judged.tenant)
        for rule, category in {(m.rule_id, m.category) for m in judged.verdict.matches}:
            name = self._rule_names(f"{rule}/{category}")
            labels = (OTHER, OTHER) if name == OTHER else (rule, category)
            RULE_MATCHES.labels(*labels, tenant).inc()

    async def run(self) -> None:
        """Publish what waits until cancelled."""
        while True:
            await self._publish(await self._waiting.get())
            self._waiting.task_done()

    async def drain(self, timeout: float) -> None:
        """Wait until everything is published, at most `timeout` seconds; the rest is dropped."""
        try:
            await asyncio.wait_for(self._waiting.join(), timeout)
        except TimeoutError:
            AUDIT_DROPPED.inc(self._waiting.qsize() + 1)
            log.warning("%d audit records were dropped at the end", self._waiting.qsize() + 1)

    async def _publish(self, recorded: ModerationRecorded) -> None:
        # One id for all attempts: an attempt that timed out may have been stored.
        msg_id = uuid.uuid4().hex
        while True:
            try:
                await self._bus.publish(SUBJECT, recorded, msg_id=msg_id)
                return
            except UnavailableError as error:
                log.info("an audit record waits: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # a bug in here must not take the verdicts down with it
                log.exception("an audit record was dropped")
                AUDIT_DROPPED.inc()
                return
