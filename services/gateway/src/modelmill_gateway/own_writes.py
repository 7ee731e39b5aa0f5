"""Callers read what they have just written: a use case ends once our own lists know of it."""

import logging
from typing import Protocol

from modelmill_service_kit.errors import DeadlineError, UnavailableError

log = logging.getLogger(__name__)

CATCH_UP_SECONDS = 2.0


class CatchesUp(Protocol):
    """The part of a read model that tells how far it has read."""

    async def wait_for(self, sequence: int, timeout: float) -> None: ...


async def until_seen(read_model: CatchesUp, sequence: int) -> None:
    """Wait until what was just written can be read here.

    It is written either way: a list that lags is logged, and never turns a yes into a no.
    """
    try:
        await read_model.wait_for(sequence, CATCH_UP_SECONDS)
    except (UnavailableError, DeadlineError) as error:
        log.warning("the caller may not see its write yet: %s", error)
