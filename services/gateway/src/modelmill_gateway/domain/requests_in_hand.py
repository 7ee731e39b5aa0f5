"""What API keys have in hand: requests that are being answered, and end when their key does.

An end comes as a cancellation of the task that answers, so that all it holds is given back as if
its client had left, and leaves the task as `KeyEndedError`, of which each server makes a refusal.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from modelmill_service_kit.errors import UnauthenticatedError

UNENDED_ROUTES = frozenset({"revoke_key"})
"""Who ends a key by that very key, or by one that it made, hears that it has."""


class KeyEndedError(UnauthenticatedError):
    """The key was revoked, or expired, while its request was being answered."""

    code = "key_ended"

    def __init__(self) -> None:
        super().__init__("the API key is not valid any more; the answer ends here")


class RequestInHand:
    """One request of a key, in the task that answers it."""

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
    """Of all keys, in this process."""

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
