"""The request context: all that a use case knows of a request beside what is asked for."""

from dataclasses import dataclass

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.deadline import Deadline
from modelmill_gateway.domain.ledger.meter import Meter
from modelmill_gateway.domain.requests_in_hand import RequestInHand


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Made by the middleware of a server, or by a job, and passed as an argument from there on.

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
