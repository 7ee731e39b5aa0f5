"""Verdicts on their way to `audit.<service>`: behind the answers, never in front of them."""

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

from audit.measures import (
    AUDIT_DROPPED,
    MAX_RULES,
    MAX_TENANTS,
    OTHER,
    RULE_MATCHES,
    VERDICTS,
    FirstNames,
)
from audit.text_judged import TextJudged

log = logging.getLogger(__name__)

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


class AuditTrail:
    """Counts every verdict, and records those in which something matched or went unanswered.

    A bounded queue in front of the bus: while it is away records wait, up to the bound; what comes
    on top is dropped and counted.

    Args:
        service: who judges; the subject is `audit.<service>`.
        size: records that may wait.
    """

    def __init__(
        self,
        bus: AuditBus,
        service: str,
        size: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._bus = bus
        self._subject = audit(service)
        self._now = now
        self._rule_names, self._tenant_names = FirstNames(MAX_RULES), FirstNames(MAX_TENANTS)
        self._waiting: asyncio.Queue[ModerationRecorded] = asyncio.Queue(size)

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
        try:
            self._waiting.put_nowait(recorded)
        except asyncio.QueueFull:
            AUDIT_DROPPED.inc()

    def _count_rules(self, judged: TextJudged) -> None:
        tenant = self._tenant_names(judged.tenant)
        for rule, category in judged.matched:
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
                await self._bus.publish(self._subject, recorded, msg_id=msg_id)
                return
            except UnavailableError as error:
                log.info("an audit record waits: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # a bug in here must not take the verdicts down with it
                log.exception("an audit record was dropped")
                AUDIT_DROPPED.inc()
                return
