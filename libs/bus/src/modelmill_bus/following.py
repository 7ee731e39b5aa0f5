"""Replays a stream in order and then stays on it, across reconnects and broker restarts.

nats-py's ordered consumer takes one filter and does not notice a broker that restarted under a
pull; this takes several, and starts again after the last message seen whenever the consumer's own
count has a gap, its heartbeat stops, or the connection was made anew.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from modelmill_service_kit.errors import UnavailableError
from nats.errors import Error as NatsError
from nats.js import api
from nats.js.errors import NotFoundError

from modelmill_bus.filters import is_whole_stream, one_filter
from modelmill_bus.inbox import Inbox, status_of
from modelmill_bus.link import REQUEST_SECONDS, Link, raise_if_cancelled
from modelmill_bus.permissions import API

log = logging.getLogger(__name__)

BATCH = 256
PULL_SECONDS = 30.0
HEARTBEAT_SECONDS = 2.0
LOOK_SECONDS = 1.0
SILENT_LOOKS = 5
RETRY_SECONDS = 0.3
NANO = 1_000_000_000
_BY_SEQUENCE = api.DeliverPolicy.BY_START_SEQUENCE
_BY_TIME = api.DeliverPolicy.BY_START_TIME


class Follower:
    """The raw messages of `filters` after a sequence, in order, for ever.

    Args:
        since: begin with what was stored at that time; `after` wins once a message came.
        newest: begin with the last message there is, which a replica may not have yet.
        ends: stop once everything stored so far has been handed out.
        on_current: called each time everything stored so far has been handed out.
    """

    def __init__(
        self,
        link: Link,
        stream: str,
        filters: Sequence[str],
        *,
        after: int = 0,
        since: datetime | None = None,
        newest: bool = False,
        ends: bool = False,
        on_current: Callable[[], None] | None = None,
    ) -> None:
        self._link = link
        self._stream = stream
        self._filters = list(filters)
        self._only = one_filter(filters)
        # The broker reads a stream several times faster when it need not look for subjects.
        self._whole = is_whole_stream(filters)
        self._last = after
        self._since = since
        self._newest = newest
        self._ends = ends
        self._current = False
        self._tell = on_current

    async def messages(self) -> AsyncIterator[Any]:
        """Each message once."""
        while not (self._ends and self._current):
            raise_if_cancelled()
            try:
                async for message in self._until_broken():
                    yield message
            except (NatsError, TimeoutError, OSError) as error:
                log.info("following %s again after %s", self._stream, error or type(error))
                await asyncio.sleep(RETRY_SECONDS)
            await self._link.wait_connected(5.0)

    async def _until_broken(self) -> AsyncIterator[Any]:
        """Messages of one ephemeral consumer, until anything about it looks wrong."""
        epoch = self._link.epoch
        info = await self._link.js.add_consumer(self._stream, self._config())
        raise_if_cancelled()
        if not info.num_pending:
            self._on_current()
        address, inbox = self._link.client.new_inbox(), Inbox()
        subscription = await self._link.client.subscribe(address, cb=inbox.put)
        expected, wanted, silent = 1, 0, 0
        try:
            while epoch == self._link.epoch and silent < SILENT_LOOKS:
                if self._ends and self._current:
                    return
                if wanted <= BATCH // 2:
                    # Early, so that the broker reads on while these are taken in.
                    await self._pull(info.name, address)
                    wanted += BATCH
                message = await inbox.next(LOOK_SECONDS)
                silent = silent + 1 if message is None else 0
                if message is None:
                    continue
                status = status_of(message)
                if status == "100" and not self._ends:
                    continue
                if status in ("404", "408"):
                    left = message.headers.get("Nats-Pending-Messages", "")
                    wanted = max(0, wanted - int(left)) if left.isdigit() else 0
                    continue
                # A heartbeat tells one that ends that what was to come has been erased.
                if status is not None or message.metadata.sequence.consumer != expected:
                    return
                expected, wanted = expected + 1, wanted - 1
                self._last = message.metadata.sequence.stream
                yield message
                if not message.metadata.num_pending and self._must_count_anew():
                    return
        finally:
            await self._drop(subscription)

    def _must_count_anew(self) -> bool:
        """Whether a new consumer has to confirm that nothing is left; otherwise this is told.

        A replay was seen to end one message short right after another one had expired, which a
        count that is too low explains. Who goes on hears of the rest; for a replay it is lost.
        """
        if self._ends and not self._newest:
            return True
        self._on_current()
        return False

    def _on_current(self) -> None:
        self._current = True
        if self._tell is not None:
            self._tell()

    def _policy(self) -> api.DeliverPolicy:
        if self._last == 0 and self._newest:
            return api.DeliverPolicy.LAST
        return _BY_TIME if self._last == 0 and self._since is not None else _BY_SEQUENCE

    def _config(self) -> api.ConsumerConfig:
        policy = self._policy()
        several = not self._whole and self._only is None
        return api.ConsumerConfig(
            # A name of chance, as good as none; with one, the request's subject says the filter.
            name=f"follower-{secrets.token_hex(12)}",
            deliver_policy=policy,
            opt_start_time=self._since if policy is _BY_TIME else None,
            opt_start_seq=self._last + 1 if policy is _BY_SEQUENCE else None,
            filter_subject=None if self._whole else self._only,
            filter_subjects=self._filters if several else None,
            ack_policy=api.AckPolicy.NONE,
            max_deliver=1,
            mem_storage=True,
            num_replicas=1,
            # Each look leaves one or two behind: they must not pile up.
            inactive_threshold=5.0 if self._ends else 60.0,
        )

    async def _pull(self, consumer: str, address: str) -> None:
        request = {
            "batch": BATCH,
            "expires": int(PULL_SECONDS * NANO),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * NANO),
        }
        await self._link.client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer}",
            json.dumps(request).encode(),
            reply=address,
        )

    async def _drop(self, subscription: Any) -> None:
        try:
            await subscription.unsubscribe()
        except NatsError as error:
            log.debug("subscription was gone already: %s", error)


NO_SUCH_MESSAGE = 10037


async def last_of_leader(link: Link, stream: str, subjects: str, what: str) -> Any | None:
    """Read from the stream's leader, by those who may read the whole stream; raw."""
    try:
        async with link.request(what, f"{API}.STREAM.MSG.GET.{stream}"):
            return await link.js.get_last_msg(stream, subjects)
    except NotFoundError as error:
        if error.err_code == NO_SUCH_MESSAGE:
            return None
        raise


async def last_delivered(link: Link, stream: str, subjects: str, what: str) -> Any | None:
    """Read by a consumer; of a stream with replicas it may be the last but one. Raw."""
    follower = Follower(link, stream, [subjects], newest=True, ends=True)
    try:
        async with (
            asyncio.timeout(REQUEST_SECONDS),
            aclosing(follower.messages()) as messages,  # type: ignore[type-var]
        ):
            async for raw in messages:
                return raw
    except TimeoutError as error:
        raise UnavailableError(f"{what}: no answer from the broker") from error
    return None
