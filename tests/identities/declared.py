"""What may be said and heard on the bus, and who the table of subjects says may do it.

Worked out from the rows, not from the lists that the broker is given: those are on trial.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from modelmill_bus.kinds import KINDS, OWNER_OF
from modelmill_bus.permissions import BACKUP, DEPLOY, identities, inbox_of
from modelmill_bus.subjects import STREAMS, Row, Stream

NOBODY: frozenset[str] = frozenset()
API = "$JS.API"


@dataclass(frozen=True)
class Case:
    """One thing to try, by everybody."""

    verb: str
    """publish or subscribe"""
    subject: str
    allowed: frozenset[str]


def cases() -> list[Case]:
    """All of them, each once."""
    found = [*_messages(), *_inboxes(), *_api()]
    for stream in STREAMS:
        found += [*_stream(stream), *_consumers(stream)]
    assert len({(each.verb, each.subject) for each in found}) == len(found)
    return found


def concrete(row: Row) -> list[tuple[str, str | None]]:
    """Subjects of a row as they are published, one of each kind of job where it has kinds."""
    filled = row.template.replace("*", "{}")
    if "kind" not in row.places:
        return [(filled.format(*row.places).replace("_", "-"), None)]
    others = [place.replace("_", "-") for place in row.places[1:]]
    return [(filled.format(kind, *others), kind) for kind in KINDS]


def _messages() -> Iterator[Case]:
    for row in (row for stream in STREAMS for row in stream.rows):
        for subject, kind in concrete(row):
            owners = [owner for each, owner in OWNER_OF.items() if kind in (None, each)]
            publishers = [name for name in row.publishers if kind is None or name in owners]
            yield Case("publish", subject, frozenset(publishers))
            yield Case("subscribe", subject, frozenset(row.listeners))
        if "*" in row.template:
            yield Case("subscribe", row.template, frozenset(row.listeners))


def _inboxes() -> Iterator[Case]:
    listeners = {name for stream in STREAMS for row in stream.rows for name in row.listeners}
    for name in identities():
        own = NOBODY if name in listeners else frozenset({name})
        yield Case("subscribe", f"{inbox_of(name)}.>", own)
        yield Case("publish", f"{inbox_of(name)}.answer", NOBODY)


def _api() -> Iterator[Case]:
    for subject in (">", "$JS.>", "$SYS.>", "_INBOX.>", "job.>", "*.ready"):
        yield Case("subscribe", subject, NOBODY)
    for call in ("INFO", "STREAM.NAMES", "STREAM.LIST", "SERVER.STREAM.MOVE.JOBS"):
        yield Case("publish", f"{API}.{call}", NOBODY)
    yield Case("publish", f"{API}.STREAM.CREATE.OTHER", NOBODY)
    yield Case("publish", "some.thing.else", NOBODY)


def _stream(stream: Stream) -> Iterator[Case]:
    deployer, name = frozenset({DEPLOY}), stream.name
    of_it = {each for row in stream.rows for each in (*row.publishers, *row.readers)}
    yield Case("publish", f"{API}.STREAM.INFO.{name}", frozenset(of_it | deployer))
    for verb in ("CREATE", "UPDATE", "PURGE", "DELETE"):
        yield Case("publish", f"{API}.STREAM.{verb}.{name}", deployer)
    yield Case("publish", f"{API}.STREAM.MSG.GET.{name}", _readers_of_all(stream))
    yield Case("publish", f"{API}.STREAM.MSG.DELETE.{name}", frozenset({stream.eraser}))
    yield Case("publish", f"{API}.STREAM.SNAPSHOT.{name}", frozenset({BACKUP}))
    yield Case("publish", f"$JS.SNAPSHOT.ACK.{name}.of-one.1.1", frozenset({BACKUP}))
    yield Case("publish", f"$JS.SNAPSHOT.RESTORE.{name}.of-one", NOBODY)
    for verb in ("RESTORE", "LEADER.STEPDOWN", "PEER.REMOVE"):
        yield Case("publish", f"{API}.STREAM.{verb}.{name}", NOBODY)
    for row in stream.rows:
        yield Case("publish", f"{API}.DIRECT.GET.{name}.{row.template}", NOBODY)


def _consumers(stream: Stream) -> Iterator[Case]:
    name = stream.name
    create, readers = f"{API}.CONSUMER.CREATE.{name}", _readers_of_all(stream)
    yield Case("publish", create, NOBODY)
    yield Case("publish", f"{create}.any-name", readers)
    yield Case("publish", f"{create}.any-name.>", readers)
    yield Case("publish", f"{API}.CONSUMER.DURABLE.CREATE.{name}.any-name", NOBODY)
    yield Case("publish", f"{API}.CONSUMER.DELETE.{name}.any-name", frozenset({DEPLOY}))
    for verb in ("INFO", "PAUSE", "RESET", "UNPIN", "LEADER.STEPDOWN"):
        yield Case("publish", f"{API}.CONSUMER.{verb}.{name}.any-name", NOBODY)
    for verb in ("NAMES", "LIST"):
        yield Case("publish", f"{API}.CONSUMER.{verb}.{name}", NOBODY)
    some = {each for row in stream.rows for each in row.readers}
    yield Case("publish", f"{API}.CONSUMER.MSG.NEXT.{name}.any-name", frozenset(some))
    for row in stream.rows:
        yield Case("publish", f"{create}.any-name.{row.template}", frozenset(row.readers))
    for durable in stream.consumers:
        reader = frozenset({durable.reader})
        looks = NOBODY if stream.work_queue else frozenset({BACKUP})
        yield Case("publish", f"{API}.CONSUMER.INFO.{name}.{durable.name}", looks)
        yield Case("publish", f"{create}.{durable.name}.{durable.filter}", reader)
        yield Case("publish", f"{create}.{durable.name}.>", reader & readers)
        yield Case("publish", f"{create}.{durable.name}", reader & readers)
        yield Case("publish", f"{API}.CONSUMER.MSG.NEXT.{name}.{durable.name}", reader)
        yield Case("publish", f"$JS.ACK.{name}.{durable.name}.1.1.1.0.0", reader)
        yield Case("publish", f"$JS.ACK._.hash.{name}.{durable.name}.1.1.1.0.0.token", reader)
    yield Case("publish", f"$JS.ACK.{name}.any-name.1.1.1.0.0", NOBODY)
    yield Case("publish", f"$JS.FC.{name}.any-name.token", NOBODY)


def _readers_of_all(stream: Stream) -> frozenset[str]:
    return frozenset.intersection(*(frozenset(row.readers) for row in stream.rows))
