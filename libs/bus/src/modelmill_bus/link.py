"""The broker connection: reconnects for ever, and says when it is down."""

import asyncio
import logging
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

from modelmill_service_kit.bus_access import BusTls, Credential, NkeySeed, OwnerPassword
from modelmill_service_kit.errors import InvalidInputError, PreconditionError, UnavailableError
from nats.aio.client import Client
from nats.errors import AuthorizationError, MaxPayloadError
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError

from modelmill_bus.errors import NO_ROOM, BrokerDiskFullError, Denials, StreamFullError, refusal
from modelmill_bus.nkeys import Nkey
from modelmill_bus.permissions import DEPLOY, inbox_of, streams_of
from modelmill_bus.streams import ensure_streams, missing_streams

log = logging.getLogger(__name__)

START_SECONDS = 30.0
"""How long a process that starts waits for the broker."""
REQUEST_SECONDS = 2.0
"""How long one request to the broker may take."""
CLOSE_SECONDS = 2.0
STREAM_FULL = 10077
"""The broker's code for it."""
RECONNECT_GRACE_SECONDS = 0.8
"""How long a request waits for a lost connection to come back before it says so."""


class Link:
    """The connection, and how many times it was made."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.js: JetStreamContext = client.jetstream(timeout=REQUEST_SECONDS)
        self.epoch = 0
        """Counts reconnects: what the broker held for an older one is gone."""
        self.wanted = False
        """Whether somebody works with it: being closed is then a surprise."""
        self.refused = asyncio.Event()
        """Set when the broker does not take what we show, or we do not take what it shows."""
        self.refusal: Exception | None = None
        self.read_tls: Callable[[], None] = lambda: None
        """Reads again whom to believe, and what to show; raises PreconditionError."""
        self._back = asyncio.Event()
        self._said = ""
        self._denials = Denials(name)
        self.missing: list[str] = []
        """Streams that were not there at the start."""

    @property
    def connected(self) -> bool:
        """Whether the broker is there, as far as this side knows."""
        return bool(self.client.is_connected)

    @property
    def denied(self) -> list[str]:
        """What the broker did not allow, each thing once."""
        return self._denials.seen

    async def reconnected(self) -> None:
        """Called by the client after each reconnect."""
        self.epoch += 1
        self._said = ""
        self._back.set()
        log.info("broker connection: there again")

    async def failed(self, error: Exception) -> None:
        """Called by the client for each error; five times a second while the broker is away."""
        if self._denials.take(str(error)):
            return
        said = str(error).lower()
        unwelcome = isinstance(error, AuthorizationError) or "authorization violation" in said
        # A connection that just ends in between may be a broker that ends.
        distrust = isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)
        if unwelcome or distrust:
            self.refusal = error
            self.refused.set()
        if distrust:
            # Either side may have been given new certificates since we started.
            with suppress(PreconditionError):
                self.read_tls()
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
    async def request(self, what: str, subject: str) -> AsyncIterator[None]:
        """Within the block a broker that is away or does not answer is an UnavailableError.

        Args:
            subject: on which the request goes out; one that the broker does not allow us is a
                NotAllowedError at once.
        """
        if not await self.wait_connected(RECONNECT_GRACE_SECONDS):
            # Not even tried: the client would keep the message and send it much later.
            raise UnavailableError(f"{what}: the message broker is not connected")
        try:
            async with self._denials.end(what, subject):
                with broker_errors(what):
                    yield
        finally:
            # Also behind an error: who was cancelled would handle it, and try again.
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
        if error.err_code == STREAM_FULL:
            raise StreamFullError(what) from error
        if error.err_code in NO_ROOM:
            raise BrokerDiskFullError(what) from error
        raise UnavailableError(f"{what}: {error.description}") from error
    except APIError:
        raise
    except (NatsError, TimeoutError, OSError) as error:
        raise UnavailableError(f"{what}: the message broker does not answer ({error})") from error


@asynccontextmanager
async def open_link(
    url: str,
    credential: Credential,
    *,
    name: str,
    tls: BusTls | None = None,
    replicas: int = 1,
) -> AsyncIterator[Link]:
    """Connect, see to the streams, and close when the block ends.

    Whoever has no identity, or deploys, makes streams that are missing; others wait for theirs.

    Args:
        url: of the broker; of several in a cluster, separated by commas: any of them will do.
        name: who it is, with a seed the name of the identity.
        tls: how the broker is known; it must begin with the handshake (`handshake_first`), so
            that nobody in between can talk us out of it. Without, nothing is encrypted.
        replicas: of streams that are made; those that exist keep theirs.

    Raises:
        UnavailableError: no broker or no streams within 30 s, or one refuses the other.
        PreconditionError: a file of the credential or of TLS cannot be used.
    """
    makes = replicas if not isinstance(credential, NkeySeed) or name == DEPLOY else 0
    async with _open(url, credential, name, tls, partial(_see_to_streams, replicas=makes)) as link:
        yield link


@asynccontextmanager
async def open_looking(
    url: str, credential: Credential, *, name: str, tls: BusTls | None = None
) -> AsyncIterator[Link]:
    """The same for who only looks: streams stay as they are, also missing ones."""

    async def nothing(_link: Link) -> None:
        """Streams are not waited for."""

    async with _open(url, credential, name, tls, nothing) as link:
        yield link


@asynccontextmanager
async def _open(
    url: str,
    credential: Credential,
    name: str,
    tls: BusTls | None,
    at_start: Callable[[Link], Awaitable[None]],
) -> AsyncIterator[Link]:
    nkey = Nkey.from_file(credential.file) if isinstance(credential, NkeySeed) else None
    client = Client()
    link, options = Link(client, name), _options(client, credential, nkey)
    if tls is not None:
        context = tls.context()
        link.read_tls = partial(tls.read_into, context)
        options |= {"tls": context, "tls_handshake_first": True}
    try:
        async with asyncio.timeout(START_SECONDS):
            if not await _connect(link, url, options):
                raise UnavailableError(refusal(link.refusal, url, credential, tls))
            await at_start(link)
        link.wanted = True
        yield link
    except TimeoutError as error:
        if link.wanted:
            raise
        raise UnavailableError(_why_not(link, url)) from error
    finally:
        await _close(link)


async def _close(link: Link) -> None:
    if link.wanted and link.connected:
        try:
            # Acknowledgements are sent without waiting; let the last ones out.
            await link.client.flush(timeout=1)
        except NatsError as error:
            log.warning("broker connection did not drain: %s", error)
    link.wanted = False
    # Expected: `close` ends the client's search for a broker that is gone. Actual: on Python
    # 3.11 a cancel that meets a connect which has just failed is lost (bpo-42130, in
    # `asyncio.wait_for`): the search, and with it `asyncio.run`, would go on for ever.
    link.client.options["max_reconnect_attempts"] = 1
    if not link.connected:
        # Expected: `close` forgets what it can no longer send. Actual: it writes that to the socket
        # that is gone, and Python 3.13 answers with a TypeError.
        link.client._pending.clear()
        link.client._pending_data_size = 0
    # Expected: `close` closes. Actual: after a TLS handshake that failed it waits for ever (the
    # stream that it waits for was never told of its end); and of a broker that has just gone it
    # raises what the socket says.
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await link.client.close()


def _options(client: Client, credential: Credential, nkey: Nkey | None) -> dict[str, Any]:
    """Who we are, in the client's words."""
    if nkey is None:
        if isinstance(credential, OwnerPassword):
            return {"user": credential.user, "password": credential.password}
        return {"token": credential}
    # Expected: `connect` takes the public key beside `signature_cb`. Actual (nats-py 2.16): it
    # sets it from a seed alone, by a package that there is no wheel of.
    client._public_nkey = nkey.public
    return {"signature_cb": nkey.sign}


async def _connect(link: Link, url: str, options: dict[str, Any]) -> bool:
    """Whether they came together; false at once when not: the client alone would go on asking."""
    connecting = asyncio.create_task(_dial(link, url, options))
    refused = asyncio.create_task(link.refused.wait())
    try:
        await asyncio.wait((connecting, refused), return_when=asyncio.FIRST_COMPLETED)
        if link.refused.is_set():
            return False
        await connecting
        return True
    finally:
        connecting.cancel()
        refused.cancel()
        await asyncio.gather(connecting, refused, return_exceptions=True)


async def _dial(link: Link, url: str, options: dict[str, Any]) -> None:
    await link.client.connect(
        [each.strip() for each in url.split(",")],
        name=link.name,
        # Its own prefix, so that permissions can keep others from reading its replies.
        inbox_prefix=inbox_of(link.name),
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,  # type: ignore[arg-type]  # a number; the hint says int
        connect_timeout=2,
        ping_interval=10,
        max_outstanding_pings=2,
        error_cb=link.failed,
        reconnected_cb=link.reconnected,
        closed_cb=link.closed,
        **options,
    )


async def _see_to_streams(link: Link, replicas: int) -> None:
    """Make them with so many replicas; with 0 wait for them."""
    while True:
        try:
            if replicas:
                await ensure_streams(link.js, replicas)
                return
            link.missing = await missing_streams(link.js, streams_of(link.name))
            if not link.missing:
                return
        except (ServiceUnavailableError, NoStreamResponseError, TimeoutError):
            # JetStream comes up a moment after the port.
            pass
        await asyncio.sleep(0.2)


def _why_not(link: Link, url: str) -> str:
    if link.missing:
        return (
            f"the message broker at {url} has no streams {', '.join(link.missing)}: whoever"
            " deploys makes them with `python -m modelmill_bus.deploy`"
        )
    if link.denied:
        return f"the message broker at {url} does not allow {link.name} a {link.denied[0]}"
    return f"no message broker at {url}"
