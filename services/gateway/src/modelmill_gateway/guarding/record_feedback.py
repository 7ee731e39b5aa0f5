"""Record what people say of answers and verdicts, and show it to who improves them."""

import hashlib
from collections.abc import Callable, Sequence
from uuid import uuid4

from modelmill.gateway.v1 import gateway_events_pb2 as pb
from modelmill.gateway.v1.gateway_events_pb2 import FeedbackRecorded
from modelmill_bus.bus import Bus
from modelmill_bus.keyed_store import RecentLog
from modelmill_bus.subjects import feedback_recorded
from modelmill_service_kit.errors import NotFoundError
from modelmill_service_kit.nearest import did_you_mean, no_such

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.request_context import RequestIds
from modelmill_gateway.guarding.policy_book import PolicyBook
from modelmill_gateway.metrics import FEEDBACK

SHOWN = 1000
"""Of a tenant; the stream has all."""
KEPT_SECONDS = 365 * 24 * 3600.0
"""As long as the stream keeps it."""


class FeedbackBook(RecentLog[FeedbackRecorded]):
    """Read model of `feedback.recorded.*`: the newest of each tenant.

    Read on demand: it may hold long texts, and most replicas are never asked.
    """

    def __init__(self, bus: Bus, now: Callable[[], float]) -> None:
        super().__init__(bus, "feedback.recorded", kept=SHOWN, on_demand=True)
        self._now = now

    async def record(self, feedback: FeedbackRecorded) -> None:
        """Store it; one id is stored once in a day. Raises UnavailableError."""
        subject = feedback_recorded(feedback.tenant)
        await self._bus.publish(subject, feedback, msg_id=feedback.feedback_id)

    async def of(self, tenant: str) -> list[FeedbackRecorded]:
        """The tenant's newest thousand of a year, newest first, as the stream has them now.

        Raises:
            UnavailableError: the bus is away, or it takes too long to read up to here.
        """
        await self.catch_up()
        since = self._now() - KEPT_SECONDS
        return [each.body for each in self.list(tenant) if each.body.at.seconds > since]


REPORTS = {
    None: pb.FEEDBACK_REPORT_UNSPECIFIED,
    "false_positive": pb.FEEDBACK_REPORT_FALSE_POSITIVE,
    "missed": pb.FEEDBACK_REPORT_MISSED,
}
"""A rule matched a text that it should not, or none matched one that it should."""
WORDS = {message: report or "none" for report, message in REPORTS.items()}


class RecordFeedback:
    """Recording of feedback under the caller's tenant and name."""

    def __init__(
        self, records: FeedbackBook, request_ids: RequestIds, policies: PolicyBook
    ) -> None:
        self.request_ids = request_ids
        self._policies = policies
        self._records = records

    async def __call__(
        self, feedback: pb.FeedbackRecorded, caller: Caller, *, idempotency_key: str
    ) -> pb.FeedbackRecorded:
        """What was recorded, once it is stored.

        Args:
            feedback: what is said; who says it and when is added.

        Raises:
            NotFoundError: it is about a request that the tenant did not make, or a rule that its
                policy does not have.
            UnavailableError: the bus is away, or holds as much as it may.
        """
        about = feedback.request_id
        if about and not self.request_ids.are_of(caller.tenant, about):
            raise NotFoundError(
                f"request_id: no request {about!r} of this tenant. Use the answer's x-request-id"
            )
        if feedback.rules:
            self._require_rules(feedback.rules, caller.tenant)
        record = pb.FeedbackRecorded(tenant=caller.tenant, caller=caller.subject)
        record.MergeFrom(feedback)
        record.feedback_id = _id_of(record, idempotency_key)
        record.at.GetCurrentTime()
        await self._records.record(record)
        FEEDBACK.labels(WORDS[feedback.report]).inc()
        return record

    def _require_rules(self, wanted: Sequence[str], tenant: str) -> None:
        policy = self._policies.of(tenant)
        for rule in wanted:
            if rule not in policy.ids:
                raise NotFoundError(
                    f"rules: the policy in force has no rule {rule!r}."
                    f"{did_you_mean(rule, policy.ids)} GET /v1/moderation/policy lists them"
                )

    async def list(self, caller: Caller) -> Sequence[pb.FeedbackRecorded]:
        """What the tenant's people said, newest first.

        Raises:
            UnavailableError: the bus is away, or it takes too long to read.
        """
        return await self._records.of(caller.tenant)

    async def get(self, feedback_id: str, caller: Caller) -> pb.FeedbackRecorded:
        """One of them.

        Raises:
            NotFoundError: unknown, another tenant's, or forgotten.
            UnavailableError: as `list`.
        """
        for record in await self._records.of(caller.tenant):
            if record.feedback_id == feedback_id:
                return record
        raise no_such("feedback", feedback_id, "/v1/feedback")


def _id_of(said: pb.FeedbackRecorded, idempotency_key: str) -> str:
    """A new id, or for a key always the same one, as long as the same is said under it."""
    if not idempotency_key:
        return f"fb-{uuid4().hex}"
    key = idempotency_key.encode() + b"\0" + said.SerializeToString(deterministic=True)
    return f"fb-{hashlib.sha256(key).hexdigest()[:32]}"
