"""Texts that people reported, as rows with the label that each should have had."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from google.protobuf.message import Message
from modelmill.gateway.v1.gateway_events_pb2 import (
    FEEDBACK_REPORT_FALSE_POSITIVE,
    FEEDBACK_REPORT_MISSED,
    FeedbackRecorded,
)
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import feedback_recorded

LABELS = {FEEDBACK_REPORT_FALSE_POSITIVE: False, FEEDBACK_REPORT_MISSED: True}
"""Whether any rule should touch the text."""


async def reported(bus: Bus, tenant: str | None) -> list[FeedbackRecorded]:
    """All that is kept of what people reported, oldest first; of one tenant or of all.

    Raises:
        InvalidInputError: a tenant cannot have that name.
    """
    subject = "feedback.recorded.*" if tenant is None else feedback_recorded(tenant)
    return [body async for body in _bodies(bus, subject) if body.report in LABELS]


def labelled_rows(reports: Iterable[FeedbackRecorded], direction: str | None) -> list[str]:
    """One JSON row for each text of a tenant, as its last report labels it; in their order.

    Args:
        direction: leave out what was said to go the other way.
    """
    latest: dict[tuple[str, str], FeedbackRecorded] = {}
    for report in reports:
        if report.text and direction in (None, report.direction or direction):
            key = (report.tenant, report.text)
            latest.pop(key, None)
            latest[key] = report
    return [json.dumps(dict(_row(report)), ensure_ascii=False) for report in latest.values()]


async def _bodies(bus: Bus, subject: str) -> AsyncIterator[FeedbackRecorded]:
    async for stored in bus.replay([subject]):
        body: Message = stored.body
        assert isinstance(body, FeedbackRecorded), "the table of subjects says so"
        yield body


def _row(report: FeedbackRecorded) -> Iterator[tuple[str, Any]]:
    yield "text", report.text
    yield "label", LABELS[report.report]
    yield "tenant", report.tenant
    for name in ("direction", "request_id", "comment"):
        if value := getattr(report, name):
            yield name, value
    for name in ("categories", "rules"):
        if values := list(getattr(report, name)):
            yield name, values
    yield "reported_at", report.at.ToJsonString()
