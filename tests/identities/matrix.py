"""Everybody tries everything on a real broker, and what it allowed is held against the table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelmill_bus.broker_config import Identities
from modelmill_bus.deploy import make_streams
from modelmill_bus.nkeys import Nkey
from modelmill_bus.permissions import identities, inbox_of, reads_whole
from modelmill_bus.subjects import STREAMS, Stream
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.waiting import eventually
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.identities.declared import Case, cases

DENIED = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')
NONSENSE = b"{"
"""No call of the API takes half an object: what is allowed is answered, and does no harm."""


@dataclass(frozen=True)
class Verdict:
    """What was tried, and what differs from the table."""

    identities: int
    subjects: int
    differences: tuple[str, ...]
    """Where broker and table disagree, and messages that are stored and should not be."""

    @property
    def cases(self) -> int:
        """Tries in all."""
        return self.identities * self.subjects

    def __str__(self) -> str:
        found = "; ".join(self.differences) or "allowed == declared"
        return (
            f"{self.identities} identities x {self.subjects} subjects = {self.cases} cases, {found}"
        )


class Prober:
    """One identity's connection, and what the broker did not allow it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.client = Client()
        self._denied: set[tuple[str, str]] = set()
        self._answered: set[int] = set()

    async def connect(self, url: str, file: Path) -> None:
        nkey = Nkey.from_file(file)
        self.client._public_nkey = nkey.public
        await self.client.connect(
            url,
            signature_cb=nkey.sign,
            error_cb=self._failed,
            inbox_prefix=inbox_of(self.name),
            allow_reconnect=False,
        )

    async def allowed(self, tries: Sequence[Case]) -> list[bool]:
        """For each of them whether the broker let it pass, once it has said so of all."""
        inbox = f"{inbox_of(self.name)}.probe"
        await self.client.subscribe(f"{inbox}.*", cb=self._answer)
        await self.client.flush()
        hears = ("subscription", f"{inbox}.*") not in self._denied
        for number, each in enumerate(tries):
            if each.verb == "subscribe":
                await self.client.subscribe(each.subject)
            else:
                body = NONSENSE if each.subject.startswith("$") else self.name.encode()
                reply = f"{inbox}.{number}" if hears else ""
                await self.client.publish(each.subject, body, reply=reply)
        await self.client.flush(timeout=30)
        if hears:
            asked = {n for n, each in enumerate(tries) if _is_answered(each)}
            await eventually(lambda: asked <= self._answered | self._refused(tries), within=20)
            assert not self._answered & self._refused(tries)
        refused = self._refused(tries)
        return [number not in refused for number in range(len(tries))]

    def _refused(self, tries: Sequence[Case]) -> set[int]:
        words = {"publish": "publish", "subscribe": "subscription"}
        return {
            number
            for number, each in enumerate(tries)
            if (words[each.verb], each.subject.lower()) in self._denied
        }

    async def _failed(self, error: Exception) -> None:
        if found := DENIED.search(str(error).lower()):
            self._denied.add((found[1], found[2]))

    async def _answer(self, message: Msg) -> None:
        self._answered.add(int(message.subject.rpartition(".")[2]))


async def try_everything(folder: Path) -> Verdict:
    """Start a broker with the identities of the table, and let each of them try every case."""
    people = Identities(folder / "identities")
    people.ensure()
    tries, differences = cases(), []
    async with run_nats(folder / "nats", people.authorization()) as broker:
        await make_streams(broker.url, people.seed("deploy"))
        for name in identities():
            prober = Prober(name)
            await prober.connect(broker.url, people.seed(name).file)
            try:
                for case, was in zip(tries, await prober.allowed(tries), strict=True):
                    if was != (name in case.allowed):
                        verdict = "may" if was else "may not"
                        differences.append(f"{name} {verdict} {case.verb} {case.subject}")
            finally:
                await prober.client.close()
        differences += await _wrongly_stored(broker.url, people, tries)
    return Verdict(len(identities()), len(tries), tuple(differences))


def _is_answered(case: Case) -> bool:
    """A consumer or snapshot that is not there says nothing when it is asked or told of one."""
    told = case.subject.startswith(("$JS.ACK.", "$JS.SNAPSHOT."))
    silent = told or ".CONSUMER.MSG.NEXT." in case.subject
    return case.verb == "publish" and not silent


async def _wrongly_stored(url: str, people: Identities, tries: Sequence[Case]) -> list[str]:
    """What lies in the streams beside what should: each message holds the name of its writer."""
    sent = [each for each in tries if each.verb == "publish" and each.subject[0] != "$"]
    expected = {(name, each.subject) for each in sent for name in each.allowed}
    stored = {found for stream in STREAMS for found in await _stored(url, people, stream)}
    return [f"stored, or not, against the table: {each}" for each in sorted(stored ^ expected)]


async def _stored(url: str, people: Identities, stream: Stream) -> list[tuple[str, str]]:
    """Who wrote what, as one of those sees it who may read the whole stream."""
    name = next(each for each in identities() if reads_whole(stream, each))
    reader = Prober(name)
    await reader.connect(url, people.seed(name).file)
    try:
        js = reader.client.jetstream()
        last = (await js.stream_info(stream.name)).state.last_seq
        messages = [await js.get_msg(stream.name, number) for number in range(1, last + 1)]
    finally:
        await reader.client.close()
    return [(message.data.decode(), message.subject) for message in messages]
