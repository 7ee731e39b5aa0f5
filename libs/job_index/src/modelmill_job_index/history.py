"""Event history of a job, in an order from which every reader can resume.

States and figures come from two streams, and two processes may hear them interleaved differently.
So a reader's place is kept for both streams: within each the order is that of the stream, and the
id of an event that a reader was given says how far it had got in both.
"""

import asyncio
import heapq
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from google.protobuf.message import Message
from modelmill_service_kit.errors import InvalidInputError

PROGRESS_EVENTS = 1000
"""Progress events with figures kept for each job; all of them are in the job's artifact."""
STATE, PROGRESS = "state", "progress"
EVENT_ID = re.compile(r"(state|progress)-([0-9]{1,18})(?:\.([0-9]{1,18}))?")


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job, in words and as it was written."""

    sequence: int
    """In its stream: states and progress count apart, so `id` is what names an event."""
    at: datetime
    type: str
    """`state` or `progress`."""
    message: str
    body: Message
    beside: int | None = None
    """Sequence in the other stream up to which a watcher had been given events."""

    @property
    def id(self) -> str:
        """Unique within the job; any process goes on after it."""
        name = f"{self.type}-{self.sequence}"
        return name if self.beside is None else f"{name}.{self.beside}"


@dataclass(frozen=True)
class Cursor:
    """How far a reader has got in both streams."""

    state: int = 0
    progress: int = 0

    def past(self, event: JobEvent) -> "Cursor":
        """The place behind an event."""
        if event.type == STATE:
            return replace(self, state=event.sequence)
        return replace(self, progress=event.sequence)

    def numbered(self, event: JobEvent) -> JobEvent:
        """The event with an id that says this place, too."""
        return replace(event, beside=self.progress if event.type == STATE else self.state)


class JobHistory:
    """One job's events. Figures have limited room: the oldest make way."""

    def __init__(self) -> None:
        self._states: list[JobEvent] = []
        self._figures: deque[JobEvent] = deque(maxlen=PROGRESS_EVENTS)
        self.news = asyncio.Event()
        """Set at the next change; take it before looking, and wait for it after."""

    def add(self, event: JobEvent) -> None:
        """Keep the next event of its stream."""
        (self._states if event.type == STATE else self._figures).append(event)
        self.tell()

    def tell(self) -> None:
        """Wake whoever waits for news."""
        self.news.set()
        self.news = asyncio.Event()

    def events(self) -> tuple[JobEvent, ...]:
        """All that is kept: each stream in its order, the two merged by time."""
        return tuple(heapq.merge(self._states, self._figures, key=lambda event: event.at))

    @property
    def states(self) -> tuple[JobEvent, ...]:
        """States alone, in the order of their stream."""
        return tuple(self._states)

    @property
    def has_figures(self) -> bool:
        """Whether any are kept."""
        return bool(self._figures)

    @property
    def last_state(self) -> int:
        """Sequence of the newest state; 0 before the first."""
        return self._states[-1].sequence if self._states else 0

    def next_after(self, place: Cursor) -> JobEvent | None:
        """The first event behind a place; the earlier one when both streams have one."""
        state = _first_after(self._states, place.state)
        figure = _first_after(self._figures, place.progress)
        if state is None or figure is None:
            return state or figure
        return figure if figure.at < state.at else state

    def next_figures(self, place: Cursor) -> JobEvent | None:
        """The first figures behind a place."""
        return _first_after(self._figures, place.progress)

    def place_of(self, event_id: str, *, last_progress: int) -> Cursor:
        """The place behind an event, also one that another process gave out.

        Args:
            last_progress: the newest figures of any job; what is no newer may have made way.

        Raises:
            InvalidInputError: it names no event of this job.
        """
        match = EVENT_ID.fullmatch(event_id)
        if match is None:
            raise _unknown(event_id)
        type_, sequence = match[1], int(match[2])
        if type_ == STATE:
            known = any(event.sequence == sequence for event in self._states)
        else:
            known = 0 < sequence <= last_progress
        if not known:
            raise _unknown(event_id)
        if match[3] is not None:
            beside = int(match[3])
            return Cursor(sequence, beside) if type_ == STATE else Cursor(beside, sequence)
        return self._place_in_list(type_, sequence)

    def _place_in_list(self, type_: str, sequence: int) -> Cursor:
        """For ids of `events`, which do not say how far the other stream was."""
        place = Cursor() if type_ == STATE else Cursor(progress=sequence)
        for event in self.events():
            if event.type == type_ and event.sequence > sequence:
                break
            place = place.past(event)
            if (event.type, event.sequence) == (type_, sequence):
                break
        return place


def _first_after(events: Sequence[JobEvent] | deque[JobEvent], sequence: int) -> JobEvent | None:
    index = bisect_right(events, sequence, key=lambda event: event.sequence)
    return events[index] if index < len(events) else None


def _unknown(event_id: str) -> InvalidInputError:
    return InvalidInputError(f"after: no event {event_id[:80]!r} of this job")
