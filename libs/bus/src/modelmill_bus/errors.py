"""Errors of the message bus."""

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from modelmill_service_kit.bus_access import BusTls, Credential, NkeySeed, OwnerPassword
from modelmill_service_kit.errors import ConflictError, PreconditionError, UnavailableError
from nats.js.errors import APIError

NO_ROOM = (10023, 10047)
"""The broker's codes for "insufficient resources" and "insufficient storage resources"."""


class StaleWriteError(ConflictError):
    """A compare-and-set lost: somebody wrote the subject first.

    `last` is the sequence that the subject has now, or None when the broker did not say.
    """

    reason = "STALE_WRITE"

    def __init__(self, message: str, last: int | None = None) -> None:
        super().__init__(message)
        self.last = last

    @classmethod
    def of(cls, subject: str, answer: APIError) -> "StaleWriteError":
        """As the broker's answer says."""
        found = re.search(r"wrong last sequence: (\d+)", answer.description or "")
        last = int(found[1]) if found else None
        return cls(f"{subject} was written by somebody else first", last)


class StreamFullError(UnavailableError):
    """A stream takes nothing more: nothing was stored, and nothing of what it holds is lost.

    Only who runs the broker can give it more room; until then it is retried.
    """

    reason = "STREAM_FULL"

    def __init__(self, what: str) -> None:
        said = f"{what}: its stream is full; nothing was stored, and an operator must make room"
        super().__init__(said, retry_after_seconds=30.0)


class BrokerDiskFullError(UnavailableError):
    """The broker is there and stores nothing: its disk is full, or far too slow.

    As after any silence, what was published may be stored later. It goes on once there is space.
    """

    reason = "BROKER_DISK_FULL"

    def __init__(self, what: str) -> None:
        said = (
            f"{what}: the message broker is there and stores nothing, as when its disk is full."
            " Free space on the broker's disk and repeat"
        )
        super().__init__(said, retry_after_seconds=30.0)


class StreamSchemaError(PreconditionError):
    """A stream is of another schema than the one that this release reads and writes."""

    reason = "STREAM_SCHEMA"


class NotAllowedError(UnavailableError):
    """The broker does not allow our identity this subject; only who runs the broker can mend it.

    To a caller it is a broker that does not answer, and so it is retried, and goes on once mended.
    """


log = logging.getLogger(__name__)

DENIED = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')


@dataclass(eq=False)
class _Asked:
    """A request whose answer is awaited."""

    subject: str
    until: asyncio.Timeout
    is_denied: bool = False


class Denials:
    """Ends requests that were denied, and logs each subject once.

    Args:
        name: who it is that is not allowed something.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._asked: set[_Asked] = set()
        self.seen: list[str] = []
        """Each thing that was not allowed, once."""

    def take(self, error: str) -> bool:
        """Whether an error of the broker's was a denial; it is seen to then."""
        denied = DENIED.search(error.lower())
        if denied is None:
            return False
        verb, subject = denied[1], denied[2]
        for asked in self._asked:
            is_it = verb == "publish" and asked.subject.lower() == subject
            if is_it and not asked.is_denied:
                asked.is_denied = True
                asked.until.reschedule(0)
        if (what := f"{verb} to {subject}") not in self.seen:
            self.seen.append(what)
            log.error("the message broker does not allow %s a %s", self._name, what)
        return True

    @asynccontextmanager
    async def end(self, what: str, subject: str) -> AsyncIterator[None]:
        """Raise NotAllowedError in the block once `subject`, on which it asks, is denied."""
        asked = _Asked(subject, asyncio.timeout(None))
        try:
            async with asked.until:
                self._asked.add(asked)
                try:
                    yield
                finally:
                    self._asked.discard(asked)
        except TimeoutError as error:
            if not asked.is_denied:
                raise
            raise NotAllowedError(
                f"{what}: the message broker does not allow {self._name} to use {subject}"
            ) from error


def refusal(error: Exception | None, url: str, credential: Credential, tls: BusTls | None) -> str:
    """What to say when the broker refused `credential`, or TLS with it came to nothing."""
    if isinstance(error, ssl.SSLCertVerificationError):
        judge = f"{tls.ca_file} does" if tls else "the authorities of this machine do"
        return f"the message broker at {url}: {judge} not vouch for it ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"the message broker at {url} and we do not agree on TLS ({error.reason})"
    shown = f"identity of {credential.file}" if isinstance(credential, NkeySeed) else "token"
    if isinstance(credential, OwnerPassword):
        shown = "password"
    return f"the message broker at {url} refuses the {shown}"
