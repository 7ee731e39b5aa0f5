"""What a version can be asked for, as the engine that loaded it said, and that one loads it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import BASE, BUILD, House
from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.registry.v1.model_events_pb2 import ModelServing, ServingAbilities, ServingState
from modelmill_bus.subjects import MODEL_SERVING
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

READY, STOPPED = ServingState.SERVING_STATE_READY, ServingState.SERVING_STATE_STOPPED
LOADING, FAILED = ServingState.SERVING_STATE_LOADING, ServingState.SERVING_STATE_FAILED
ABLE = ServingAbilities(top_logprobs=0, grammar=True, embed=True, exact=True)
SHOWN = {
    "logprobs": True,
    "top_logprobs": 0,
    "response_format": True,
    "tools": False,
    "required_tools": True,
    "embeddings": True,
    "scores": False,
    "exact": True,
}


async def say(house: House, version_id: str, **fields: Any) -> None:
    fact = ModelServing(version_id=version_id, **({"replica": "inference-1"} | fields))
    await house.bus.publish(MODEL_SERVING, fact)


async def say_loading(
    house: House, version_id: str, seconds: float, expected: float, replica: str = "inference-1"
) -> None:
    """That a replica has been loading it for so long."""
    began_at = Timestamp()
    began_at.FromDatetime(datetime.now(UTC) - timedelta(seconds=seconds))
    told = {"began_at": began_at, "expected_seconds": expected, "replica": replica}
    await say(house, version_id, state=LOADING, **told)


async def test_models_say_what_they_can_be_asked_for_once_an_engine_has_loaded_them(house: House):
    client = house.http()

    async def told(name: str) -> Any:
        return (await client.get(f"/v1/models/{name}")).json()["capabilities"]

    assert (await told(BUILD), await told("default")) == (None, None)
    await say(house, BUILD, state=READY, abilities=ABLE)

    assert await eventually(lambda: told(BUILD)) == SHOWN
    # Of an alias they are those of the version that it names.
    assert await told("default") == SHOWN
    listed = (await client.get("/v1/models")).json()["data"]
    assert {each["id"]: each["capabilities"] for each in listed}[BUILD] == SHOWN
    assert await told(BASE) is None

    await say(house, BUILD, state=STOPPED)
    await say(house, BASE, state=READY, abilities=ServingAbilities())
    base = await eventually(lambda: told(BASE))
    assert (base["logprobs"], base["top_logprobs"]) == (False, 0)
    assert await told(BUILD) == SHOWN


async def test_grpc_returns_the_same(house: House):
    await say(house, BUILD, state=READY, abilities=ABLE)
    async with grpc_stub(house) as stub:

        async def told() -> Any:
            request = pb.GetModelRequest(model="default")
            model = (await stub.GetModel(request, timeout=CALL_SECONDS)).model
            return model.abilities if model.HasField("abilities") else None

        assert await eventually(told) == ABLE
        listed = (await stub.ListModels(pb.ListModelsRequest(), timeout=CALL_SECONDS)).models
    assert {each.id: each.abilities for each in listed}[BUILD] == ABLE


async def test_a_version_is_shown_to_load_with_what_is_known_of_it_until_the_load_ends(
    house: House,
):
    client = house.http()

    async def loading(name: str) -> Any:
        return (await client.get(f"/v1/models/{name}")).json()["loading"]

    assert await loading(BUILD) is None
    await say_loading(house, BUILD, seconds=12, expected=3600)

    shown = await eventually(lambda: loading(BUILD))
    assert 12 <= shown["elapsed_seconds"] < 600
    assert abs(shown["elapsed_seconds"] + shown["remaining_seconds"] - 3600) < 1
    assert await eventually(lambda: loading("default"))
    listed = (await client.get("/v1/models")).json()["data"]
    assert {each["id"] for each in listed if each["loading"]} >= {BUILD, "default"}
    async with grpc_stub(house) as stub:
        request = pb.GetModelRequest(model="default")
        told = (await stub.GetModel(request, timeout=CALL_SECONDS)).model
        assert 12 <= told.loading.elapsed_seconds < told.loading.remaining_seconds < 3590

    # What another replica says of its own load ends none of the first's.
    await say_loading(house, BUILD, seconds=2, expected=0, replica="inference-2")
    await say(house, BUILD, state=FAILED)
    shown = await eventually(lambda: _if_younger(loading(BUILD)))
    assert shown["remaining_seconds"] is None
    await say(house, BUILD, state=READY, replica="inference-2")

    async def has_ended() -> bool:
        return await loading(BUILD) is None

    await eventually(has_ended)


async def test_a_load_whose_replica_never_told_its_end_is_not_shown_for_ever(house: House):
    await say_loading(house, BASE, seconds=1000, expected=10)
    await say(house, BUILD, state=READY, abilities=ServingAbilities(exact=True, top_logprobs=7))
    client = house.http()

    async def has_come() -> bool:
        shown = (await client.get(f"/v1/models/{BUILD}")).json()["capabilities"]
        return bool(shown and shown["top_logprobs"] == 7)

    # What was said after it is known, so it is known, too.
    await eventually(has_come)
    assert (await client.get(f"/v1/models/{BASE}")).json()["loading"] is None


async def _if_younger(loading: Any) -> Any:
    shown = await loading
    return shown if shown is not None and shown["remaining_seconds"] is None else None
