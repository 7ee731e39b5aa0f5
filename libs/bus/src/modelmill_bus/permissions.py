"""Permissions of each identity on the bus, derived from the subject table.

A permission is a subject, and JetStream's requests are subjects too: the stream, the consumer and
the filter that a request names are parts of it. What only a request's body says is beyond it:
`STREAM.MSG.GET` gives any message of its stream, and a consumer without a filter reads all of it.
Both are therefore for those who read all rows of the stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from modelmill_service_kit.errors import InvalidInputError

from modelmill_bus.filters import one_filter
from modelmill_bus.kinds import OWNER_OF
from modelmill_bus.subjects import PLACE, STREAMS, Row, Stream

API = "$JS.API"
DEPLOY = "deploy"
"""Makes and changes streams; nobody else does."""
BACKUP = "backup"
"""Takes snapshots of all streams, and writes none."""
MANAGE = ("CREATE", "UPDATE", "PURGE", "DELETE")
EVERYTHING = ">"


@dataclass(frozen=True)
class Permissions:
    """Subjects as the broker's configuration has them; what is in no list is refused."""

    publish: tuple[str, ...]
    never_publish: tuple[str, ...]
    """Exceptions from `publish`."""
    subscribe: tuple[str, ...]


def identities() -> tuple[str, ...]:
    """Everybody whom the table names, who deploys it, and who backs it up."""
    rows = [row for stream in STREAMS for row in stream.rows]
    named = {name for row in rows for name in (*row.publishers, *row.readers, *row.listeners)}
    return (*sorted(named), DEPLOY, BACKUP)


def inbox_of(identity: str) -> str:
    """Prefix of the subjects on which it takes answers, and nobody else may listen."""
    return f"_INBOX_{identity}"


def permissions_of(identity: str) -> Permissions:
    """What the table gives this identity; nothing if the table does not know it."""
    publish: list[str] = []
    never: list[str] = []
    for stream in STREAMS:
        publish += _of_stream(stream, identity)
        publish += _of_backup(stream) if identity == BACKUP else ()
        publish += [f"{API}.STREAM.MSG.DELETE.{stream.name}"] * (stream.eraser == identity)
        never += _of_others(stream, identity)
    heard = dict.fromkeys(subject for _, subject in heard_from(identity))
    answered = [f"{inbox_of(identity)}.>"] if publish else []
    return Permissions(
        tuple(publish),
        # An empty list of what is allowed would be no limit at all.
        tuple(never) if publish else (EVERYTHING,),
        (*answered, *heard),
    )


def heard_from(identity: str) -> list[tuple[str, str]]:
    """What it hears as it is published: by whom, and on which subjects."""
    rows = [row for stream in STREAMS for row in stream.rows if identity in row.listeners]
    return [(name, each) for row in rows for name in row.publishers for each in written(row, name)]


def streams_of(identity: str) -> tuple[str, ...]:
    """Streams that it writes to or reads."""
    return tuple(
        stream.name
        for stream in STREAMS
        if any(identity in (*row.publishers, *row.readers) for row in stream.rows)
    )


def refuse_undeclared(identity: str, stream: str, durable: str) -> None:
    """Whoever has an identity names its durable consumers in the table: who else may acknowledge?

    Raises:
        InvalidInputError: it has one, and this consumer is not there as its own.
    """
    (found,) = (each for each in STREAMS if each.name == stream)
    own = {each.name for each in found.consumers if each.reader == identity}
    if identity in identities() and durable not in own:
        raise InvalidInputError(f"{stream} has no durable {durable!r} of {identity} in the table")


def reads_whole(stream: Stream, identity: str) -> bool:
    """Whether it may read whatever the stream holds."""
    return all(identity in row.readers for row in stream.rows)


def may_look_up(identity: str, stream: str) -> bool:
    """Whether it may read single messages of a stream; whoever has no identity may."""
    (found,) = (each for each in STREAMS if each.name == stream)
    return identity not in identities() or reads_whole(found, identity)


def _of_stream(stream: Stream, identity: str) -> Iterator[str]:
    if identity == DEPLOY:
        yield f"{API}.STREAM.INFO.{stream.name}"
        yield from (f"{API}.STREAM.{verb}.{stream.name}" for verb in MANAGE)
        yield f"{API}.CONSUMER.DELETE.{stream.name}.*"
        return
    for row in stream.rows:
        if identity in row.publishers:
            yield from written(row, identity)
    readable = [row for row in stream.rows if identity in row.readers]
    if identity in {name for row in stream.rows for name in (*row.publishers, *row.readers)}:
        yield f"{API}.STREAM.INFO.{stream.name}"
    if reads_whole(stream, identity):
        yield f"{API}.STREAM.MSG.GET.{stream.name}"
        yield f"{API}.CONSUMER.CREATE.{stream.name}.>"
    else:
        for each in _filters(readable):
            yield f"{API}.CONSUMER.CREATE.{stream.name}.*.{each}"
    if readable:
        yield f"{API}.CONSUMER.MSG.NEXT.{stream.name}.*"
    for durable in stream.consumers:
        if durable.reader == identity:
            yield f"{API}.CONSUMER.CREATE.{stream.name}.{durable.name}.{durable.filter}"
            yield f"{API}.CONSUMER.MSG.NEXT.{stream.name}.{durable.name}"
            yield f"$JS.ACK.{stream.name}.{durable.name}.>"
            # With domain and account, as newer brokers write it.
            yield f"$JS.ACK.*.*.{stream.name}.{durable.name}.>"


def _of_backup(stream: Stream) -> Iterator[str]:
    """Who takes snapshots reads everything; what a consumer has acknowledged, by its name."""
    yield f"{API}.STREAM.SNAPSHOT.{stream.name}"
    yield f"$JS.SNAPSHOT.ACK.{stream.name}.>"
    for durable in stream.consumers if not stream.work_queue else ():
        yield f"{API}.CONSUMER.INFO.{stream.name}.{durable.name}"


def _of_others(stream: Stream, identity: str) -> Iterator[str]:
    """Followers have names of chance, so the right to one of its own reaches every name."""
    if not any(identity in row.readers for row in stream.rows):
        return
    for durable in stream.consumers:
        if durable.reader != identity:
            yield f"{API}.CONSUMER.CREATE.{stream.name}.{durable.name}"
            yield f"{API}.CONSUMER.CREATE.{stream.name}.{durable.name}.>"
            yield f"{API}.CONSUMER.MSG.NEXT.{stream.name}.{durable.name}"


def written(row: Row, identity: str) -> list[str]:
    """The row's subjects as a publisher may write them: of jobs, those of its own kinds."""
    if "kind" not in row.places:
        return [row.template]
    own = [kind for kind, owner in OWNER_OF.items() if owner == identity]
    return [PLACE.sub("*", row.address.replace("{kind}", kind)) for kind in own]


def _filters(rows: list[Row]) -> list[str]:
    """Each row's own filter, and those over rows of one family that hold nothing else."""
    families: dict[str, list[str]] = {}
    for row in rows:
        families.setdefault(row.template.partition(".")[0], []).append(row.template)
    joint = [one_filter(templates) for templates in families.values() if len(templates) > 1]
    return [*(row.template for row in rows), *(each for each in joint if each is not None)]
