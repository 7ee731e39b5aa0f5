"""Records of loads: which are under way, how long they take, and which failed lately."""

import asyncio
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from modelmill.registry.v1.model_events_pb2 import ModelReady, ModelServing, ServingState
from modelmill_service_kit.errors import DomainError, OverloadedError

from modelmill_inference.load_version import LoadedVersion

RETRY_SECONDS = 30.0
"""After which a caller asks again at most, where nothing is known of the time that is left."""
ALIKE = 2.0
"""A version at most so many times as large as another takes about as long to load."""


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception
    until: float


@dataclass(frozen=True, slots=True)
class _Load:
    model: ModelReady
    engine: str
    began: float

    def is_like(self, other: "_Load") -> bool:
        """Whether it takes about as long; an adapter is loaded with its base."""
        sizes = sorted((self.model.size_bytes, other.model.size_bytes))
        same_base = self.model.parent_version_id == other.model.parent_version_id
        return (
            (self.engine, self.model.form) == (other.engine, other.model.form)
            and (self.model.form != "adapter" or same_base)
            and sizes[1] <= sizes[0] * ALIKE
        )


@dataclass(frozen=True, slots=True)
class _UnderWay:
    load: _Load
    expected: float | None
    """Seconds; None when no earlier load tells."""

    def left(self, now: float) -> float | None:
        """Seconds; None when nothing is known of them, or it takes longer than expected."""
        if self.expected is None:
            return None
        left = self.expected - (now - self.load.began)
        return left if left > 0 else None

    def refusal(self, now: float) -> OverloadedError:
        elapsed, left, model = now - self.load.began, self.left(now), self.load.model
        retry = math.ceil(left or min(max(elapsed, 1.0), RETRY_SECONDS))
        ahead = f", about {left:.0f} s left" if left else ""
        named = f'"{model.name}" ({model.version_id})' if model.name else model.version_id
        return OverloadedError(
            f"model {named} is loading: {elapsed:.0f} s so far{ahead}. Try again in {retry} s",
            retry_after_seconds=retry,
        ).because("MODEL_LOADING")


class LoadRecords:
    """Of one process; times are by the event loop's clock.

    Args:
        failure_seconds: a version that did not load is not tried again for this long; callers get
            the same error.
        margin_seconds: before a caller's deadline, so that it hears the reason and not only that
            its time is over.
    """

    def __init__(self, *, failure_seconds: float = 5.0, margin_seconds: float = 0.25) -> None:
        self._failure_seconds = failure_seconds
        self._margin_seconds = margin_seconds
        self._under_way: dict[str, _UnderWay] = {}
        self._taken: dict[str, tuple[_Load, float]] = {}
        """The last load of each version and its seconds, the newest last."""
        self._failures: dict[str, _Failure] = {}

    def begin(self, model: ModelReady, engine: str) -> None:
        """Note that it begins."""
        load = _Load(model, engine, _now())
        self._under_way[model.version_id] = _UnderWay(load, self._expected(load))

    def loading_fact(self, version_id: str) -> ModelServing:
        """What is told of one that is under way."""
        under_way = self._under_way[version_id]
        fact = ModelServing(
            version_id=version_id,
            engine=under_way.load.engine,
            state=ServingState.SERVING_STATE_LOADING,
            expected_seconds=under_way.expected or 0.0,
        )
        elapsed = timedelta(seconds=_now() - under_way.load.began)
        fact.began_at.FromDatetime(datetime.now(UTC) - elapsed)
        return fact

    def end(self, version_id: str) -> None:
        """Note that it is loaded."""
        load = self._under_way.pop(version_id).load
        self._failures.pop(version_id, None)
        self._taken.pop(version_id, None)
        self._taken[version_id] = load, _now() - load.began

    def fail(self, version_id: str, error: BaseException) -> None:
        """Note that it did not load, or was not let to an end."""
        del self._under_way[version_id]
        # After a want of room it is tried at once: there may be some in a moment.
        is_lasting = isinstance(error, DomainError) and not isinstance(error, OverloadedError)
        if isinstance(error, Exception):
            until = _now() + (self._failure_seconds if is_lasting else 0.0)
            self._failures[version_id] = _Failure(error, until)

    def refuse_failed(self, version_id: str) -> None:
        """Raise what the last load came to, while it is not to be tried again."""
        failure = self._failures.get(version_id)
        if failure is not None and _now() < failure.until:
            raise failure.error

    async def loaded(
        self, load: asyncio.Task[LoadedVersion], version_id: str, deadline: float | None
    ) -> LoadedVersion:
        """What the load comes to; it goes on for the others when the one who waits leaves.

        Raises:
            OverloadedError: it is not there by the deadline, or is not likely to be.
        """
        if deadline is not None and not load.done():
            under_way, now = self._under_way[version_id], _now()
            left = under_way.left(now)
            if left is None or now + left < deadline:
                patience = deadline - self._margin_seconds - now
                await asyncio.wait({load}, timeout=max(0.0, patience))
            if not load.done():
                raise under_way.refusal(_now())
        return await asyncio.shield(load)

    def _expected(self, load: _Load) -> float | None:
        """Seconds; of one that failed nothing is, so that who asks waits and hears why."""
        version_id = load.model.version_id
        if version_id in self._failures:
            return None
        if version_id in self._taken:
            return self._taken[version_id][1]
        alike = [seconds for other, seconds in self._taken.values() if load.is_like(other)]
        return alike[-1] if alike else None


def _now() -> float:
    return asyncio.get_running_loop().time()
