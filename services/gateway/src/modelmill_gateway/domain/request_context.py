"""Request context: who asks, under which id, until when, and whether its key still counts."""

import asyncio
import hashlib
import hmac
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from modelmill_service_kit.errors import DeadlineError, UnauthenticatedError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.ledger.meter import Meter

MARGIN_SECONDS = 0.25
"""Kept back on every hop, so that a peer's own "too late" arrives before we give up."""


class Deadline:
    """Deadline of a request, after which nobody waits for the answer."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds that the next hop may take; 0 or less when the time is over."""
        return self._at - self._clock() - MARGIN_SECONDS

    def remaining(self, *, at_most: float = float("inf")) -> float:
        """Seconds that the next hop may take.

        Raises:
            DeadlineError: nothing is left.
        """
        left = self.left
        if left <= 0:
            raise DeadlineError("the request's time is over")
        return min(left, at_most)


UNENDED_ROUTES = frozenset({"revoke_key"})
"""Who ends a key by that very key, or by one that it made, hears that it has."""


class KeyEndedError(UnauthenticatedError):
    """The key was revoked, or expired, while its request was being answered."""

    code = "key_ended"

    def __init__(self) -> None:
        super().__init__("the API key is not valid any more; the answer ends here")


class RequestInHand:
    """One request of a key, in the task that answers it, and ends when its key does.

    The end comes as a cancellation of the task, so that all it holds is given back as if its client
    had left, and leaves the task as `KeyEndedError`, of which each server makes a refusal.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "only tasks answer"
        self._task = task
        self._cancelled_before = task.cancelling()
        self._has_ended = False
        self._is_ours = False
        """The cancellation that is under way, if one is."""
        self._is_outside = False
        self._ended: asyncio.Future[None] | None = None

    def end(self) -> None:
        """Let the task hear of it; once, however often it is said."""
        if self._has_ended:
            return
        self._has_ended = True
        if self._ended is not None:
            if not self._ended.done():
                self._ended.set_result(None)
        elif not self._is_outside:
            self._is_ours = True
            self._task.cancel()

    def ended(self) -> "asyncio.Future[None]":
        """Done once the key has ended, in place of a cancellation: for who waits for more."""
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
            if self._has_ended:
                self._ended.set_result(None)
        return self._ended

    @contextmanager
    def outside(self) -> Iterator[None]:
        """What runs within is not ours to cancel; an end that comes meanwhile is raised behind it.

        Raises:
            KeyEndedError: there was one.
        """
        self._is_outside = True
        try:
            yield
        finally:
            self._is_outside = False
        if self._has_ended:
            raise KeyEndedError

    def takes_cancellation(self) -> bool:
        """Whether the cancellation that is under way is the key's end, and nobody else's, too."""
        if not self._is_ours:
            return False
        self._is_ours = False
        return self._task.uncancel() <= self._cancelled_before


@contextmanager
def key_ends(request: RequestInHand | None) -> Iterator[None]:
    """Within the block the end of the request's key is an error and no cancellation.

    Raises:
        KeyEndedError: it has ended.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        if request is None or not request.takes_cancellation():
            raise
        raise KeyEndedError from error


class RequestsInHand:
    """Requests in hand of all keys, in this process."""

    def __init__(self) -> None:
        self._of_keys: dict[str, set[RequestInHand]] = {}

    @property
    def keys(self) -> Iterable[str]:
        """Those that have some."""
        return [*self._of_keys]

    @contextmanager
    def holding(self, key_id: str) -> Iterator[RequestInHand]:
        """Within the block this task answers a request of the key.

        Raises:
            KeyEndedError: the key has ended.
        """
        request = RequestInHand()
        self._of_keys.setdefault(key_id, set()).add(request)
        try:
            with key_ends(request):
                yield request
        finally:
            others = self._of_keys[key_id]
            others.discard(request)
            if not others:
                del self._of_keys[key_id]

    def end(self, key_id: str) -> None:
        """End what the key has in hand."""
        for request in [*self._of_keys.get(key_id, ())]:
            request.end()


PREFIX = "req-"
DRAWN_BYTES, TAG_BYTES = 10, 6


class RequestIds:
    """Request ids that end in a tag (MAC) of their tenant, by which it is known whose they are.

    Args:
        secret: what all gateways share and nobody else has; with another one nothing that was given
            before is known.
    """

    def __init__(self, secret: str) -> None:
        said = b"modelmill.gateway.request-ids:" + secret.encode()
        self._key = hashlib.sha256(said).digest()

    def new(self, tenant: str) -> str:
        """The id of a request of this tenant."""
        drawn = os.urandom(DRAWN_BYTES).hex()
        return f"{PREFIX}{drawn}{self._tag(drawn, tenant)}"

    def are_of(self, tenant: str, request_id: str) -> bool:
        """Whether a request of this tenant was given the id."""
        said = request_id.removeprefix(PREFIX)
        drawn, tag = said[: 2 * DRAWN_BYTES], said[2 * DRAWN_BYTES :]
        return hmac.compare_digest(tag.encode(), self._tag(drawn, tenant).encode())

    def _tag(self, drawn: str, tenant: str) -> str:
        said = f"{drawn} {tenant}".encode()
        return hashlib.blake2b(said, key=self._key, digest_size=TAG_BYTES).hexdigest()


def nobodys_id() -> str:
    """The id of a request whose tenant is not known."""
    return f"{PREFIX}{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Request context, made by the middleware or by a job and passed as an argument from there on.

    The span is the one thing that is not in it: OpenTelemetry carries its own context.
    """

    caller: Caller
    request_id: str
    seconds: float | None = None
    """Time limit of the caller, where it sets one."""
    sticky_key: str = ""
    """What the caller wants its requests told apart by, between variants of an alias."""
    in_hand: RequestInHand | None = None
    """How it hears that its API key has ended; None where no key is used."""
    meter: Meter | None = None
    """What the request is charged to; None where nothing limits the caller."""

    def deadline(self, limit: float) -> Deadline:
        """The deadline of work that begins now and may take `limit` seconds at most."""
        return Deadline(limit if self.seconds is None else min(limit, self.seconds))
