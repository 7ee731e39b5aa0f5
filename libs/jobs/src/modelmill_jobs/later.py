"""What a worker does about a job that it could not see through: it comes again."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modelmill_service_kit.errors import UnavailableError
from nats.errors import Error as NatsError

from modelmill_jobs.errors import Fenced

log = logging.getLogger(__name__)


@asynccontextmanager
async def left_for_later(subject: str) -> AsyncIterator[None]:
    """Whatever goes wrong within is logged and goes no further.

    Args:
        subject: of the message that asked for the job.
    """
    try:
        yield
    except Fenced:
        log.info("another worker was quicker with %s", subject)
    except (UnavailableError, NatsError) as error:
        # Not acknowledged, so it comes again.
        log.warning("%s is left for later: %s", subject, error)
    except Exception:
        log.exception("%s is left for later", subject)
