"""A stream in memory: sequences, compare-and-set, message ids, limits."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from nats.js import api
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

MSG_ID = "Nats-Msg-Id"
EXPECTED_LAST = "Nats-Expected-Last-Subject-Sequence"
OVERHEAD_BYTES = 22
"""Of each message in a file of the real one, about."""


@dataclass(frozen=True)
class StoredMessage:
    """What a stream holds."""

    sequence: int
    subject: str
    data: bytes
    headers: Mapping[str, str]
    at: float
    """Seconds since 1970."""

    @property
    def size(self) -> int:
        """Bytes that it takes from the stream's limit."""
        headers = sum(len(name) + len(value) + 4 for name, value in self.headers.items())
        return len(self.subject) + len(self.data) + headers + OVERHEAD_BYTES


class FakeStream:
    """One stream of the fake broker.

    Args:
        heedless: filter of subjects that are stored whatever sequence was expected: a control.
    """

    def __init__(self, config: api.StreamConfig, *, heedless: str = "") -> None:
        self.config = config
        self.messages: list[StoredMessage] = []
        self.on_stored: list[Callable[[StoredMessage], None]] = []
        self._heedless = heedless
        self._last = 0
        self._bytes = 0
        self._by_subject: dict[str, StoredMessage] = {}
        self._ids: dict[str, tuple[int, float]] = {}

    def takes(self, subject: str) -> bool:
        """Whether a message of that subject goes here."""
        return any(matches(each, subject) for each in self.config.subjects or ())

    def store(
        self, subject: str, data: bytes, headers: Mapping[str, str], now: float
    ) -> SimpleNamespace:
        """Keep a message, as nats-server decides: compare-and-set first, then known ids, then room.

        Raises:
            APIError: the subject's last sequence is another than expected.
            ServiceUnavailableError: it is full and refuses the newest.
        """
        self._compare(subject, headers)
        known = self._known_id(headers.get(MSG_ID), now)
        if known is not None:
            return SimpleNamespace(seq=known, duplicate=True)
        message = StoredMessage(self._last + 1, subject, data, dict(headers), now)
        self._make_room(message.size)
        self._last = message.sequence
        self._bytes += message.size
        self.messages.append(message)
        self._by_subject[subject] = message
        if MSG_ID in headers:
            self._ids[headers[MSG_ID]] = (message.sequence, now)
        for tell in self.on_stored:
            tell(message)
        return SimpleNamespace(seq=message.sequence, duplicate=False)

    def last(self, subject: str) -> StoredMessage:
        """The newest message of a subject, or of all that a pattern matches.

        Raises:
            NotFoundError: there is none.
        """
        if subject in self._by_subject:
            return self._by_subject[subject]
        found = [each for name, each in self._by_subject.items() if matches(subject, name)]
        if not found:
            raise NotFoundError(code=404, err_code=10037, description="no message found")
        return max(found, key=lambda message: message.sequence)

    def at(self, sequence: int) -> StoredMessage:
        """The message at a place.

        Raises:
            NotFoundError: there is none.
        """
        found = next(self.after(sequence - 1), None)
        if found is None or found.sequence != sequence:
            raise NotFoundError(code=404, err_code=10037, description="no message found")
        return found

    def after(self, sequence: int) -> Iterator[StoredMessage]:
        """What is stored behind a place, in order."""
        begin = bisect_right(self.messages, sequence, key=lambda message: message.sequence)
        for index in range(begin, len(self.messages)):
            yield self.messages[index]

    def info(self) -> SimpleNamespace:
        """State and limits, in nats-py's words."""
        first = self.messages[0].sequence if self.messages else 0
        state = SimpleNamespace(
            first_seq=first,
            last_seq=self._last,
            messages=len(self.messages),
            bytes=self._bytes,
        )
        return SimpleNamespace(config=self.config, state=state)

    def _known_id(self, msg_id: str | None, now: float) -> int | None:
        sequence, at = self._ids.get(msg_id or "", (0, 0.0))
        return sequence if sequence and now - at < (self.config.duplicate_window or 0.0) else None

    def _compare(self, subject: str, headers: Mapping[str, str]) -> None:
        expected = headers.get(EXPECTED_LAST)
        if expected is None or (self._heedless and matches(self._heedless, subject)):
            return
        newest = self._by_subject.get(subject)
        last = newest.sequence if newest else 0
        if last != int(expected):
            raise APIError(code=400, err_code=10071, description=f"wrong last sequence: {last}")

    def _make_room(self, size: int) -> None:
        limit = self.config.max_bytes or 0
        while limit > 0 and self._bytes + size > limit:
            if self.config.discard != api.DiscardPolicy.OLD or not self.messages:
                raise ServiceUnavailableError(
                    code=503, err_code=10077, description="maximum bytes exceeded"
                )
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self.messages.pop(0)
        self._bytes -= oldest.size
        if self._by_subject.get(oldest.subject) is oldest:
            del self._by_subject[oldest.subject]


def matches(pattern: str, subject: str) -> bool:
    """Whether a filter (`*` and a last `>` allowed) lets a subject through."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(wanted) == len(tokens) and all(
        want in ("*", token) for want, token in zip(wanted, tokens, strict=True)
    )


def passes(config: Any, subject: str) -> bool:
    """Whether a consumer's filters let a subject through."""
    filters = [config.filter_subject] if config.filter_subject else config.filter_subjects
    return not filters or any(matches(each, subject) for each in filters)


def not_wanted(stream: FakeStream, config: Any) -> int:
    """The last sequence that a new consumer of this configuration does not ask for."""
    policy = api.DeliverPolicy
    if config.deliver_policy == policy.BY_START_SEQUENCE:
        return (config.opt_start_seq or 1) - 1
    if config.deliver_policy == policy.BY_START_TIME:
        since = _aware(config.opt_start_time).timestamp()
        return max((each.sequence for each in stream.messages if each.at < since), default=0)
    if config.deliver_policy == policy.LAST:
        last = (m.sequence for m in reversed(stream.messages) if passes(config, m.subject))
        return next(last, 1) - 1
    return 0


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
