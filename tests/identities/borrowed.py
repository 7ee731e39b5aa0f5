"""What everybody can make the broker say for them, to subjects of everybody else."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from modelmill_bus.broker_config import Identities
from modelmill_bus.deploy import make_streams
from modelmill_bus.permissions import API, DEPLOY, identities, streams_of
from modelmill_bus.subjects import MODEL_READY, STREAMS
from modelmill_testkit.nats_server import NatsServer, run_nats
from modelmill_testkit.waiting import eventually
from nats.aio.client import Client
from nats.js.errors import APIError

from tests.identities.declared import Case, cases, concrete
from tests.identities.matrix import Prober

SETTLED_SECONDS = 2.0
"""How long a message that the broker was made to send may be on its way."""


@dataclass
class Stage:
    """A broker with one message in each stream, and connections by identity."""

    broker: NatsServer
    people: Identities
    clients: Mapping[str, Client]

    async def sizes(self) -> dict[str, int]:
        """How many messages each stream holds, as who deploys sees it."""
        js = self.clients[DEPLOY].jetstream()
        return {each.name: (await js.stream_info(each.name)).state.messages for each in STREAMS}

    async def changes(self, before: Mapping[str, int]) -> dict[str, int]:
        """The sizes of streams that are others than `before`, within a moment."""

        async def changed() -> dict[str, int]:
            return {name: n for name, n in (await self.sizes()).items() if n != before[name]}

        try:
            return await eventually(changed, within=SETTLED_SECONDS)
        except AssertionError:
            return {}


@asynccontextmanager
async def set_stage(folder: Path) -> AsyncIterator[Stage]:
    """Start a broker, connect everybody, and have an outside subscriber listen."""
    people = Identities(folder / "identities")
    people.ensure()
    async with (
        run_nats(folder / "nats", people.authorization()) as broker,
        AsyncExitStack() as ends,
    ):
        await make_streams(broker.url, people.seed(DEPLOY))
        clients = {}
        for name in identities():
            prober = Prober(name)
            await prober.connect(broker.url, people.seed(name).file)
            ends.push_async_callback(prober.client.close)
            clients[name] = prober.client
        for row in (stream.rows[0] for stream in STREAMS):
            (subject, kind), *_ = reversed(concrete(row))
            writer = "gateway" if kind else row.publishers[0]
            await clients[writer].jetstream().publish(subject, b"{}")
        await clients["observer"].subscribe(MODEL_READY)
        await clients["observer"].flush()
        yield Stage(broker, people, clients)


async def make_consumer(
    client: Client, stream: str, filter_subject: str, **settings: object
) -> str:
    """Make one without acknowledgements; the answer of the broker, an error where it refuses."""
    name = f"taken-{len(settings)}-{client.stats['out_msgs']}"
    config = {"name": name, "ack_policy": "none", "filter_subject": filter_subject, **settings}
    body = json.dumps({"stream_name": stream, "config": config}).encode()
    subject = f"{API}.CONSUMER.CREATE.{stream}.{name}.{filter_subject}"
    answer = json.loads((await client.request(subject, body, timeout=60)).data)
    if "error" in answer:
        raise APIError.from_error(answer["error"])
    return name


def not_of(name: str) -> list[str]:
    """Subjects of messages that somebody else writes."""
    tries: list[Case] = [each for each in cases() if each.verb == "publish"]
    return [each.subject for each in tries if each.subject[0] != "$" and name not in each.allowed]


async def have_answers_sent(stage: Stage) -> int:
    """Everybody asks for an answer to each subject of somebody else's; how many tries."""
    tried = 0
    for name, client in stage.clients.items():
        for stream in streams_of(name)[:1]:
            for reply in not_of(name):
                await client.publish(f"{API}.STREAM.INFO.{stream}", b"", reply=reply)
                tried += 1
        await client.flush(timeout=30)
    return tried


async def have_messages_delivered(stage: Stage) -> int:
    """Everybody has messages delivered to each subject of somebody else's; how many tries."""
    tried = 0
    for name, client in stage.clients.items():
        own = [(each.name, row) for each in STREAMS for row in each.rows if name in row.readers]
        for stream, row in [each for each in own if each[0] != "WEBHOOKS"][:1]:
            for reply in not_of(name):
                with suppress(APIError):  # a consumer of the stream that it would deliver into
                    await make_consumer(client, stream, row.template, deliver_subject=reply)
                tried += 1
    return tried
