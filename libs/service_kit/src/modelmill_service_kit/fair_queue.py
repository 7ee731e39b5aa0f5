"""Tenant-fair queue: requests that share a resource, and which one is next.

The tenant with the fewest tokens in use is next, among equals the one that was served longest ago,
and within a tenant who came first. Nobody overtakes, so that small requests do not starve a large
one. Plain bookkeeping: whether the next one fits is its user's to say.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Request(Protocol):
    """A queued request, compared by identity."""

    @property
    def tenant(self) -> str: ...
    @property
    def tokens(self) -> int: ...
    @property
    def answers(self) -> int: ...


R = TypeVar("R", bound=Request)


@dataclass(slots=True)
class Share(Generic[R]):
    """Running and waiting requests of one tenant."""

    turn: int
    """When it was last served, or came; grows."""
    tokens: int = 0
    """In use."""
    running: int = 0
    """Requests that use them."""
    waiting: dict[R, None] = field(default_factory=dict)
    """In the order in which they came."""
    waiting_tokens: int = 0
    waiting_answers: int = 0


class FairQueue(Generic[R]):
    """Requests that wait or run; a tenant without any is forgotten."""

    def __init__(self) -> None:
        self.shares: dict[str, Share[R]] = {}
        self._turns = itertools.count()
        self.tokens = 0
        """In use."""
        self.answers = 0
        """In use."""
        self.waiting = 0
        """Requests in the queue."""

    def __iter__(self) -> Iterator[R]:
        """Waiting requests."""
        return (request for share in self.shares.values() for request in share.waiting)

    def first(self) -> R | None:
        """The next request; None if none waits."""
        if not self.waiting:
            return None
        waiting = [share for share in self.shares.values() if share.waiting]
        return next(iter(min(waiting, key=lambda it: (it.tokens, it.turn)).waiting))

    def enter(self, request: R) -> None:
        """Add a waiting request."""
        share = self.shares.get(request.tenant)
        if share is None:
            share = self.shares[request.tenant] = Share(next(self._turns))
        share.waiting[request] = None
        self._count_waiting(share, request, 1)

    def withdraw(self, request: R) -> None:
        """Remove a waiting request."""
        share = self.shares[request.tenant]
        del share.waiting[request]
        self._count_waiting(share, request, -1)
        self._forget_if_idle(request.tenant)

    def begin(self, request: R) -> None:
        """Move a waiting request to the running ones."""
        share = self.shares[request.tenant]
        del share.waiting[request]
        self._count_waiting(share, request, -1)
        share.turn = next(self._turns)
        self._count_running(share, request, 1)

    def end(self, request: R) -> None:
        """Remove a running request."""
        self._count_running(self.shares[request.tenant], request, -1)
        self._forget_if_idle(request.tenant)

    def waits(self, request: R) -> bool:
        """Whether it is in the queue."""
        share = self.shares.get(request.tenant)
        return share is not None and request in share.waiting

    def waiting_of(self, tenant: str) -> int:
        """Requests of the tenant's in the queue."""
        share = self.shares.get(tenant)
        return len(share.waiting) if share is not None else 0

    def taken_with(self, request: R) -> tuple[int, int]:
        """Tokens and answers that begin before or with a request that is about to enter."""
        own: Share[R] = self.shares.get(request.tenant) or Share(0)
        tokens = own.waiting_tokens + request.tokens
        answers = own.waiting_answers + request.answers
        share = own.tokens + tokens
        for other in self.shares.values():
            if other is not own and other.waiting:
                # It has its turns until it was given as much.
                ahead = min(other.waiting_tokens, max(0, share - other.tokens))
                tokens += ahead
                answers += other.waiting_answers * ahead // other.waiting_tokens
        return tokens, answers

    def _count_waiting(self, share: Share[R], request: R, sign: int) -> None:
        share.waiting_tokens += sign * request.tokens
        share.waiting_answers += sign * request.answers
        self.waiting += sign

    def _count_running(self, share: Share[R], request: R, sign: int) -> None:
        share.running += sign
        share.tokens += sign * request.tokens
        self.tokens += sign * request.tokens
        self.answers += sign * request.answers

    def _forget_if_idle(self, tenant: str) -> None:
        share = self.shares[tenant]
        if not share.running and not share.waiting:
            del self.shares[tenant]
