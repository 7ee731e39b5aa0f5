"""What tenants used: a compact row for each request, and sums over them by time and kind."""

from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

WIDTHS = {"1m": 60, "1h": 3600, "1d": 86400}
"""Seconds of a bucket; they begin where UTC begins."""
GROUPS = ("model", "api_key_id", "user_id")
"""What sums may be kept apart by."""


@dataclass(frozen=True)
class UsedRequest:
    """One answered request."""

    at: int
    """Unix seconds."""
    model: str
    """Version that answered."""
    api_key_id: str
    user_id: str
    input_tokens: int
    output_tokens: int
    micros: int
    first_token_seconds: float = 0.0
    """0 where none came."""
    total_seconds: float = 0.0
    failed: bool = False
    """Whether a service's error or the end of its time ended it."""


@dataclass
class Sums:
    """Sums over some requests."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    micros: int = 0
    failed: int = 0
    timed: int = 0
    """Those of which a first token came; the next are sums over these alone."""
    first_token_seconds: float = 0.0
    generation_seconds: float = 0.0
    """From first tokens to ends."""
    generated_tokens: int = 0
    """After first tokens."""

    def time(self, first_token_seconds: float, total_seconds: float, output_tokens: int) -> None:
        """Count how fast one of them was answered."""
        self.timed += 1
        self.first_token_seconds += first_token_seconds
        self.generation_seconds += max(total_seconds - first_token_seconds, 0.0)
        self.generated_tokens += max(output_tokens - 1, 0)


@dataclass(frozen=True)
class UsageQuestion:
    """Usage query: which requests are summed, and how."""

    start: int
    """Unix seconds."""
    end: int
    """The first second that is not asked for."""
    width: int
    """Seconds of a bucket."""
    limit: int
    """Buckets at most."""
    group_by: tuple[str, ...] = ()
    only: dict[str, frozenset[str]] = field(default_factory=dict)
    """By the names of `GROUPS`: values that count; a name that is missing sets no limit."""

    @property
    def first(self) -> int:
        """Where the first bucket begins."""
        return self.start - self.start % self.width

    @property
    def next_page(self) -> int | None:
        """Where the next page begins; None when this one is the last."""
        begin = self.first + self.limit * self.width
        return begin if begin < self.end else None


@dataclass(frozen=True)
class Bucket:
    """The sums of one stretch of time by their group; a group is a value for each of `group_by`."""

    start: int
    end: int
    sums: dict[tuple[str, ...], Sums]


class UsageRows:
    """The requests of one tenant, about 50 bytes each."""

    def __init__(self) -> None:
        self._times = array("I")
        self._names: dict[str, int] = {}
        self._words: list[str] = []
        self._columns = {name: array("I") for name in GROUPS}
        self._amounts = [array("I"), array("I"), array("Q")]
        self._seconds = [array("d"), array("d")]
        self._failed = array("B")

    def __len__(self) -> int:
        return len(self._times)

    def add(self, used: UsedRequest) -> None:
        """Take one more."""
        for name, column in self._columns.items():
            column.append(self._code(getattr(used, name)))
        amounts = (used.input_tokens, used.output_tokens, used.micros)
        for kept, amount in zip(self._amounts, amounts, strict=True):
            kept.append(amount)
        for kept_seconds, seconds in zip(
            self._seconds, (used.first_token_seconds, used.total_seconds), strict=True
        ):
            kept_seconds.append(seconds)
        self._failed.append(used.failed)
        # Last: whoever reads beside us, in another thread, reads so many rows as there are times.
        self._times.append(used.at)

    def buckets(self, asked: UsageQuestion) -> list[Bucket]:
        """The sums of a page, its empty buckets too."""
        end = min(asked.end, asked.first + asked.limit * asked.width)
        starts = range(asked.first, end, asked.width)
        found = {
            start: Bucket(max(start, asked.start), min(start + asked.width, asked.end), {})
            for start in starts
        }
        groups = [self._columns[name] for name in asked.group_by]
        input_tokens, output_tokens, micros = self._amounts
        first_seconds, total_seconds = self._seconds
        for row in self._rows(asked.start, end, self._wanted(asked.only)):
            at = self._times[row]
            sums = found[at - at % asked.width].sums.setdefault(
                tuple(self._words[column[row]] for column in groups), Sums()
            )
            sums.requests += 1
            sums.input_tokens += input_tokens[row]
            sums.output_tokens += output_tokens[row]
            sums.micros += micros[row]
            sums.failed += self._failed[row]
            if first_seconds[row] > 0:
                sums.time(first_seconds[row], total_seconds[row], output_tokens[row])
        return list(found.values())

    def _rows(
        self, start: int, end: int, wanted: Sequence[tuple["array[int]", Collection[int]]]
    ) -> Iterator[int]:
        # Not sorted by time to the second, so none can be left out unseen.
        times = self._times
        for row in range(len(times)):
            if start <= times[row] < end and all(column[row] in codes for column, codes in wanted):
                yield row

    def _wanted(
        self, only: dict[str, frozenset[str]]
    ) -> list[tuple["array[int]", Collection[int]]]:
        return [
            (self._columns[name], {self._names[value] for value in values if value in self._names})
            for name, values in only.items()
        ]

    def _code(self, word: str) -> int:
        code = self._names.get(word)
        if code is None:
            code = self._names[word] = len(self._words)
            self._words.append(word)
        return code
