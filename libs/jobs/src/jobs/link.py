"""One connection to the broker: kept for ever, and honest about being away."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from nats.aio.client import Client
from nats.errors import AuthorizationError, MaxPayloadError
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError
from service_kit.errors import InvalidInputError, UnavailableError

from jobs.streams import ensure_streams

log = logging.getLogger(__name__)

START_SECONDS = 30.0
"""How long a process that starts waits for the broker."""
REQUEST_SECONDS = 2.0
"""How long one request to the broker may take."""
RETRY_SECONDS = 0.2
NO_SUITABLE_PEERS, REPLICAS_NEED_A_CLUSTER = 10005, 10074
RECONNECT_GRACE_SECONDS = 0.8
"""How long a request waits for a lost connection to come back before it says so."""


class Link:
    """The connection, and how many times it was made."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.js: JetStreamContext = client.jetstream(timeout=REQUEST_SECONDS)
        self.epoch = 0
        """Counts reconnects: what the broker held for an older one is gone."""
        self.wanted = False
        """Whether somebody works with it: being closed is then a surprise."""
        self.refused = asyncio.Event()
        """Set when the broker does not take the token."""
        self._back = asyncio.Event()
        self._said = ""

    @property
    def connected(self) -> bool:
        """Whether the broker is there, as far as this side knows."""
        return bool(self.client.is_connected)

    async def reconnected(self) -> None:
        """Called by the client after each reconnect."""
        self.epoch += 1
        self._said = ""
        self._back.set()
        log.info("broker connection: there again")

    async def failed(self, error: Exception) -> None:
        """Called by the client for each error; five times a second while the broker is away."""
        if isinstance(error, AuthorizationError) or "authorization violation" in str(error).lower():
            self.refused.set()
        if str(error) != self._said:
            self._said = str(error)
            log.warning("broker connection: %s", error or type(error).__name__)

    async def closed(self) -> None:
        """Called by the client when it gives up, which it does only if the broker rejects us."""
        if self.wanted:
            # A process without a bus is of no use, and whoever started it must know.
            log.critical("the broker closed the connection for good; stopping")
            signal.raise_signal(signal.SIGTERM)

    async def wait_connected(self, timeout: float) -> bool:
        """Whether the connection is there or comes back within `timeout` seconds."""
        if not self.connected:
            self._back.clear()
            try:
                await asyncio.wait_for(self._back.wait(), timeout)
            except TimeoutError:
                return self.connected
        return self.connected

    @asynccontextmanager
    async def request(self, what: str) -> AsyncIterator[None]:
        """Within the block a broker that is away or does not answer is an UnavailableError."""
        if not await self.wait_connected(RECONNECT_GRACE_SECONDS):
            # Not even tried: the client would keep the message and send it much later.
            raise UnavailableError(f"{what}: the message broker is away")
        with broker_errors(what):
            yield
        raise_if_cancelled()


def raise_if_cancelled() -> None:
    """End a task that was cancelled while the client waited for an answer.

    Expected: the request raises CancelledError. Actual: it returns when the answer arrives in the
    same tick (`asyncio.wait_for` of Python 3.11); a heartbeat would beat on, and its job never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@contextmanager
def broker_errors(what: str) -> Iterator[None]:
    """Turns the client's errors into ours; an answer of the API (`APIError`) passes through."""
    try:
        yield
    except MaxPayloadError as error:
        raise InvalidInputError(f"{what}: the message is larger than the broker takes") from error
    except ServiceUnavailableError as error:
        raise UnavailableError(f"{what}: {error.description}") from error
    except APIError:
        raise
    except (NatsError, TimeoutError, OSError) as error:
        raise UnavailableError(f"{what}: the message broker does not answer ({error})") from error


@asynccontextmanager
async def open_link(url: str, token: str, *, name: str, replicas: int = 1) -> AsyncIterator[Link]:
    """Connect, see to the streams, and close when the block ends.

    Args:
        url: of the broker; of several in a cluster, separated by commas: any of them will do.
        replicas: of streams that are missing.

    Raises:
        UnavailableError: no broker within 30 s, or it refuses the token.
    """
    client = Client()
    link = Link(client)
    try:
        async with asyncio.timeout(START_SECONDS):
            await _connect(link, url, token, name)
            await _ensure_streams(link.js, replicas)
        link.wanted = True
        yield link
    except TimeoutError as error:
        if link.wanted:
            raise
        raise UnavailableError(f"no message broker at {url}") from error
    finally:
        if link.wanted and link.connected:
            try:
                # Acknowledgements are sent without waiting; let the last ones out.
                await client.flush(timeout=1)
            except NatsError as error:
                log.warning("broker connection did not drain: %s", error)
        link.wanted = False
        # Expected: `close` ends the client's search for a broker that is gone. Actual: on Python
        # 3.11 a cancel that meets a connect which has just failed is lost (bpo-42130, in
        # `asyncio.wait_for`): the search, and with it `asyncio.run`, would go on for ever.
        client.options["max_reconnect_attempts"] = 1
        await client.close()


async def _connect(link: Link, url: str, token: str, name: str) -> None:
    """Connect, or say at once that the token is wrong: the client alone would go on asking."""
    connecting = asyncio.create_task(_dial(link, url, token, name))
    refused = asyncio.create_task(link.refused.wait())
    try:
        await asyncio.wait((connecting, refused), return_when=asyncio.FIRST_COMPLETED)
        if link.refused.is_set():
            raise UnavailableError(f"the message broker at {url} refuses the token")
        await connecting
    finally:
        connecting.cancel()
        refused.cancel()
        await asyncio.gather(connecting, refused, return_exceptions=True)


async def _dial(link: Link, url: str, token: str, name: str) -> None:
    await link.client.connect(
        [each.strip() for each in url.split(",")],
        token=token,
        name=name,
        # Its own prefix, so that permissions can keep others from reading its replies.
        inbox_prefix=f"_INBOX_{name}",
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,  # type: ignore[arg-type]  # a number; the hint says int
        connect_timeout=2,
        ping_interval=10,
        max_outstanding_pings=2,
        error_cb=link.failed,
        reconnected_cb=link.reconnected,
        closed_cb=link.closed,
    )


async def _ensure_streams(js: JetStreamContext, replicas: int) -> None:
    while True:
        try:
            await ensure_streams(js, replicas)
        except (ServiceUnavailableError, NoStreamResponseError, TimeoutError):
            # JetStream comes up a moment after the port.
            await asyncio.sleep(RETRY_SECONDS)
        except APIError as error:
            if error.err_code == REPLICAS_NEED_A_CLUSTER:
                raise UnavailableError(f"{replicas} replicas need a cluster of brokers") from error
            if error.err_code != NO_SUITABLE_PEERS:
                raise
            # The servers of a cluster have not all found each other yet.
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return
