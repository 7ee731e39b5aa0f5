"""Streams say their schema: another one is refused by name, and an upgrade loses nothing."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.archive import export_streams, import_streams
from modelmill_bus.bus import Bus
from modelmill_bus.errors import StreamSchemaError
from modelmill_bus.link import Link, open_looking
from modelmill_bus.stream_changes import bring_to_table, set_schema, stream_changes
from modelmill_bus.stream_schemas import KEY, schema_problem
from modelmill_bus.streams import ensure_streams, missing_streams
from modelmill_bus.subjects import MODEL_READY, STREAMS
from modelmill_service_kit.errors import PreconditionError
from modelmill_testkit.nats_server import NatsServer
from nats.js import api

[MODELS] = (each for each in STREAMS if each.name == "MODELS")


async def config_of(link: Link, stream: str) -> api.StreamConfig:
    config: api.StreamConfig = (await link.js.stream_info(stream)).config
    return config


async def changed(link: Link, stream: str, **changes: Any) -> None:
    await link.js.update_stream((await config_of(link, stream)).evolve(**changes))


async def test_each_stream_is_made_with_its_schema(bus: Bus, broker: NatsServer):
    async with open_looking(broker.url, broker.token, name="tester") as link:
        for stream in STREAMS:
            assert ((await config_of(link, stream.name)).metadata or {})[KEY] == str(stream.schema)
        assert await stream_changes(link.js) == []


async def test_a_stream_that_does_not_say_has_the_first_schema_and_says_so_once_deployed(
    bus: Bus, broker: NatsServer
):
    async with open_looking(broker.url, broker.token, name="tester") as link:
        await changed(link, "MODELS", metadata={"owner": "ada"})
        assert await missing_streams(link.js, ["MODELS"]) == []

        await ensure_streams(link.js)

        metadata = (await config_of(link, "MODELS")).metadata or {}
    assert (metadata[KEY], metadata["owner"]) == ("1", "ada")


@pytest.mark.parametrize("said", ["2", "0", "1.0", "x" * 500])
async def test_an_unknown_schema_is_refused_and_left_alone(bus: Bus, broker: NatsServer, said: str):
    async with open_looking(broker.url, broker.token, name="tester") as link:
        await changed(link, "MODELS", metadata={KEY: said}, max_bytes=5_000_000)

        with pytest.raises(StreamSchemaError, match=r"MODELS has schema '.* knows 1\. Use"):
            await ensure_streams(link.js)
        with pytest.raises(StreamSchemaError):
            await missing_streams(link.js, ["MODELS"])
        with pytest.raises(StreamSchemaError):
            async with Bus.connect(broker.url, broker.token, name="tester"):
                pass

        config = await config_of(link, "MODELS")
    assert ((config.metadata or {})[KEY], config.max_bytes) == (said, 5_000_000)


def test_an_older_schema_names_the_upgrade():
    problem = schema_problem(dataclasses.replace(MODELS, schema=3), "2")
    assert problem is not None
    assert problem[0] == "stream MODELS has schema 2, and this release needs 3"
    assert "`mill state upgrade`" in problem[1]


async def test_an_upgrade_gives_room_and_takes_none_and_keeps_every_message(
    bus: Bus, broker: NatsServer
):
    await bus.publish(MODEL_READY, ModelReady(version_id="mv-1"), msg_id="mv-1")
    async with open_looking(broker.url, broker.token, name="tester") as link:
        older = {"max_bytes": 5_000_000, "max_age": 3600.0, "duplicate_window": 60.0}
        await changed(link, "MODELS", metadata={}, discard=api.DiscardPolicy.OLD, **older)
        raised = (await config_of(link, "JOBS")).max_bytes + 1_000_000
        await changed(link, "JOBS", max_bytes=raised)
        await changed(link, "KEYS", max_msgs_per_subject=5)
        await link.js.delete_stream("EVALS")
        said = {each.stream.name: each.words for each in await stream_changes(link.js)}

        await bring_to_table(link.js)

        models = await config_of(link, "MODELS")
        assert await stream_changes(link.js) == []
        assert (await config_of(link, "JOBS")).max_bytes == raised
        assert (await config_of(link, "KEYS")).max_msgs_per_subject == 5
    assert sorted(said) == ["EVALS", "MODELS"]
    assert "max_bytes 5000000 becomes 67108864" in said["MODELS"]
    assert "discard old becomes new" in said["MODELS"]
    assert (models.max_bytes, models.max_age, models.discard) == (MODELS.max_bytes, 0, "new")
    assert [each.body.version_id async for each in bus.replay([MODEL_READY])] == ["mv-1"]


async def test_a_stream_in_memory_is_named_and_nothing_is_changed(bus: Bus, broker: NatsServer):
    async with open_looking(broker.url, broker.token, name="tester") as link:
        await changed(link, "CONFIG", max_bytes=5_000_000)
        found = await config_of(link, "USAGE")
        await link.js.delete_stream("USAGE")
        await link.js.add_stream(found.evolve(storage=api.StorageType.MEMORY))

        with pytest.raises(PreconditionError, match="USAGE has storage memory, and file is needed"):
            await bring_to_table(link.js)
        assert (await config_of(link, "CONFIG")).max_bytes == 5_000_000


async def test_an_upgraded_schema_stays_and_a_stream_that_is_gone_gets_none(
    bus: Bus, broker: NatsServer
):
    async with open_looking(broker.url, broker.token, name="tester") as link:
        await set_schema(link.js, "MODELS", 7)
        await bring_to_table(link.js)
        assert ((await config_of(link, "MODELS")).metadata or {})[KEY] == "7"
        await link.js.delete_stream("MODELS")
        with pytest.raises(PreconditionError, match="there is no stream MODELS"):
            await set_schema(link.js, "MODELS", 2)


async def test_an_export_of_another_schema_is_not_imported(
    bus: Bus, broker: NatsServer, tmp_path: Path
):
    async with open_looking(broker.url, broker.token, name="tester") as link:
        await set_schema(link.js, "MODELS", 2)
        await export_streams(link, tmp_path / "state.gz", lambda _done, _total: None)
        with pytest.raises(StreamSchemaError, match=r"schema '2', .*\. Import it with"):
            await import_streams(link, tmp_path / "state.gz", lambda _done, _total: None)
