"""From answers and feedback on the bus to keys that count, for one experiment."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelmill.gateway.v1 import gateway_events_pb2 as pb
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import ReadModel
from modelmill_bus.subjects import feedback_recorded, usage_recorded
from modelmill_experiments.key_windows import KeyDigest, KeyWindows
from modelmill_experiments.phases import Phases

from modelmill_gateway.domain.models import FALLBACK

USAGE, FEEDBACK = "USAGE", "FEEDBACK"
"""Names of the streams."""
OF_ANSWERS = frozenset(
    {"errors", "block_rate", "first_token_seconds", "total_seconds", "cost", "length"}
)
OF_FEEDBACK = frozenset({"satisfaction", "completion"})
MEASURED = OF_ANSWERS | OF_FEEDBACK
"""Metrics that the gateway knows of answers."""


def values_of(used: pb.UsageRecorded) -> Mapping[str, float]:
    """What is measured of an answer."""
    failed = used.finish_reason == "error" or used.variant == FALLBACK
    if failed:
        # Its times and its length are of an answer that somebody else gave, or nobody.
        return {"errors": 1.0}
    return {
        "errors": 0.0,
        "block_rate": float(used.finish_reason == "content_filter"),
        "first_token_seconds": used.first_token_seconds,
        "total_seconds": used.total_seconds,
        "cost": float(used.micros),
        "length": float(used.completion_tokens),
    }


def values_said(said: pb.FeedbackRecorded) -> Mapping[str, float]:
    """What somebody said of an answer, as far as it is a metric."""
    values = {}
    if said.HasField("score"):
        values["satisfaction"] = (said.score + 1.0) / 2.0
    if said.HasField("completed"):
        values["completion"] = float(said.completed)
    return values


class _Answers(ReadModel):
    """Read model of a tenant's usage, as far as it is an experiment's."""

    def __init__(self, bus: Bus, state: pb.ExperimentState, after: int) -> None:
        super().__init__(bus, (usage_recorded(state.tenant),), after=after)
        self._experiment_id = state.experiment_id
        self.found: deque[pb.UsageRecorded] = deque()

    def _apply(self, stored: Stored[Any]) -> None:
        for used in stored.body.requests:
            if used.experiment.experiment_id == self._experiment_id and not used.shadow:
                self.found.append(used)


class _Feedback(ReadModel):
    """Read model of what a tenant's people say that is a metric."""

    def __init__(self, bus: Bus, state: pb.ExperimentState, after: int) -> None:
        super().__init__(bus, (feedback_recorded(state.tenant),), after=after)
        self.found: deque[pb.FeedbackRecorded] = deque()

    def _apply(self, stored: Stored[Any]) -> None:
        if stored.body.request_id and values_said(stored.body):
            self.found.append(stored.body)


@dataclass
class _Phase:
    number: int
    windows: KeyWindows
    known: int = 0
    """Of the keys that are counted, how many the windows have been told of."""


class CountAnswers:
    """Keys of one experiment, from the first answer that counts on.

    Who begins later, as after a restart, reads all of it again and finds what was counted closed.

    Args:
        state: The experiment's record as it is when this begins.
        late_seconds: How long after the end of a window what was said within it may come.
    """

    def __init__(self, bus: Bus, state: pb.ExperimentState, late_seconds: float) -> None:
        after = state.counts_after
        self.answers = _Answers(bus, state, after[USAGE])
        self.feedback = _Feedback(bus, state, after[FEEDBACK])
        self._seconds, self._late_seconds = state.window_seconds, late_seconds
        self._begin = state.created_at.ToNanoseconds() / 1e9
        self._phase = self._begun(0)
        self._later: list[pb.UsageRecorded] = []
        """Answers of a phase that is not known to have begun."""
        self._unmatched: list[pb.FeedbackRecorded] = []

    async def catch_up(self) -> None:
        """Read all that the bus holds now. Raises UnavailableError."""
        await self.answers.catch_up()
        await self.feedback.catch_up()

    def closing(self, evidence: Phases, now: float) -> Iterator[pb.ExperimentUnit]:
        """Keys whose window has passed and that nobody has counted yet; each is given once."""
        self._take(evidence, now)
        for key, unit in self._phase.windows.closing(now - self._late_seconds):
            values = {name: pb.ExperimentValues(values=it) for name, it in unit.values.items()}
            yield pb.ExperimentUnit(key_digest=key, arm=unit.arm, values=values)

    def _begun(self, number: int) -> _Phase:
        return _Phase(number, KeyWindows(self._seconds, self._begin))

    def _take(self, evidence: Phases, now: float) -> None:
        if evidence.number != self._phase.number:
            self._phase = self._begun(evidence.number)
        phase = self._phase
        counted: list[KeyDigest] = list(evidence.closed)
        for key in counted[phase.known :]:
            phase.windows.close(key)
        phase.known = len(counted)
        found, self._later = [*self._later, *self.answers.found], []
        self.answers.found.clear()
        for used in found:
            self._answer(used)
        said, self._unmatched = [*self._unmatched, *self.feedback.found], []
        self.feedback.found.clear()
        for each in said:
            self._say(each, now)

    def _answer(self, used: pb.UsageRecorded) -> None:
        drawn = used.experiment
        if drawn.phase > self._phase.number:
            self._later.append(used)
        elif drawn.phase == self._phase.number:
            at = used.at.ToNanoseconds() / 1e9
            windows = self._phase.windows
            windows.answer(at, drawn.key_digest, drawn.arm, used.request_id, values_of(used))

    def _say(self, said: pb.FeedbackRecorded, now: float) -> None:
        is_known = self._phase.windows.feedback(said.request_id, values_said(said))
        # Its answer may still be on its way; of one that was never an experiment's it is forgotten.
        if not is_known and said.at.seconds > now - self._seconds - self._late_seconds:
            self._unmatched.append(said)
