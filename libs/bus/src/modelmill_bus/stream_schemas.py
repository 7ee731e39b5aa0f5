"""The version of a stream's schema, which the broker keeps in the stream's metadata."""

from collections.abc import Mapping

from nats.js import api

from modelmill_bus.errors import StreamSchemaError
from modelmill_bus.subjects import Stream

KEY = "modelmill-schema"
FIRST = "1"
"""Of a stream that does not say."""


def said_schema(metadata: Mapping[str, str] | None) -> str:
    """What the metadata say; any text, for others may have written it."""
    return (metadata or {}).get(KEY, FIRST)


def with_schema(metadata: Mapping[str, str] | None, schema: int | None = None) -> dict[str, str]:
    """Metadata that say a schema: the given one, or else the one that they had."""
    kept = said_schema(metadata) if schema is None else str(schema)
    return {**(metadata or {}), KEY: kept}


def schema_problem(stream: Stream, said: str) -> tuple[str, str] | None:
    """Why this release does not work on a stream that says so, and what to do."""
    if said == str(stream.schema):
        return None
    if said in map(str, range(1, stream.schema)):
        return (
            f"stream {stream.name} has schema {said}, and this release needs {stream.schema}",
            "Stop everything and run `mill state upgrade`",
        )
    return (
        f"stream {stream.name} has schema {said[:20]!r}, and this release knows {stream.schema}",
        "Use the release that upgraded it, or a newer one",
    )


def refuse_other_schema(stream: Stream, found: api.StreamConfig) -> None:
    """Raise StreamSchemaError where a stream is of another schema than the table's."""
    if problem := schema_problem(stream, said_schema(found.metadata)):
        raise StreamSchemaError(". ".join(problem))
