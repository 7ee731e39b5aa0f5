"""What a watcher missed, heard twice or heard in another order is found."""

from collections.abc import AsyncIterator, Sequence

import pytest
from google.protobuf.message import Message
from modelmill.jobs.v1 import job_pb2 as pb
from modelmill.jobs.v1.job_pb2 import JobProgress, JobState
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import job_progress, job_state

from tests.chaos.watchers import compare, stored_events
from tests.chaos.watching_clients import Seen, Watcher

JOB = "ftjob-1"
CLAIM, END = Seen("state", 2, "running"), Seen("state", 9, "succeeded")
FIRST, SECOND = Seen("progress", 1, "5"), Seen("progress", 4, "9")
STORED = [CLAIM, END, FIRST, SECOND]


class Told(Watcher):
    """A watcher that was told this."""

    def __init__(self, seen: Sequence[Seen]) -> None:
        super().__init__(str)
        self.seen = list(seen)


def test_streams_may_be_seen_interleaved_in_any_way():
    for seen in ([CLAIM, FIRST, SECOND, END], [FIRST, CLAIM, SECOND, END]):
        assert compare(Told(seen), STORED).kept


@pytest.mark.parametrize(
    "seen",
    [
        [CLAIM, FIRST, END],
        [CLAIM, FIRST, FIRST, SECOND, END],
        [CLAIM, SECOND, FIRST, END],
        [CLAIM, FIRST, SECOND],
        [CLAIM, FIRST, END, SECOND],
        [CLAIM, FIRST, Seen("progress", 4, "8"), END],
        [CLAIM, FIRST, SECOND, Seen("progress", 5, "9"), END],
        [],
    ],
    ids=["missed", "twice", "order", "no end", "after the end", "other words", "invented", "none"],
)
def test_anything_else_is_found(seen: list[Seen]):
    assert not compare(Told(seen), STORED).kept


class Streams:
    """A bus that holds this."""

    def __init__(self, **messages: Sequence[tuple[int, Message]]) -> None:
        self._messages = {job_state(JOB): messages["states"], job_progress(JOB): messages["said"]}

    async def replay(self, subjects: Sequence[str]) -> AsyncIterator[Stored[Message]]:
        (subject,) = subjects
        for sequence, body in self._messages[subject]:
            yield Stored(sequence, subject, body, {})


def said(fence: int, done: int, **metrics: float) -> JobProgress:
    return JobProgress(fence=fence, phase="train", done=done, metrics=metrics)


async def test_what_only_keeps_a_claim_or_comes_from_a_zombie_is_not_for_watchers():
    streams = Streams(
        states=[(2, JobState(status=pb.JOB_STATUS_RUNNING))],
        said=[
            (1, said(2, 5, loss=1.0)),
            (2, said(2, 5)),
            (3, said(2, 6)),
            (4, said(7, 4)),
            (5, said(2, 7, loss=0.5)),
            (6, said(7, 5, loss=0.7)),
        ],
    )
    stored = await stored_events(streams, JOB)
    assert [(each.type, each.sequence) for each in stored] == [
        ("state", 2),
        ("progress", 1),
        ("progress", 3),
        ("progress", 4),
        ("progress", 6),
    ]
