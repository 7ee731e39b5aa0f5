"""What a version can be asked for, as the engine that loaded it said."""

from typing import Any

import pytest
from gateway_support.grpc_door import CALL_SECONDS, grpc_door
from gateway_support.house import BASE, BUILD, House
from jobs.subjects import MODEL_SERVING
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.registry.v1.model_events_pb2 import ModelServing, ServingAbilities, ServingState
from testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

READY, STOPPED = ServingState.SERVING_STATE_READY, ServingState.SERVING_STATE_STOPPED
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
    fact = ModelServing(version_id=version_id, replica="inference-1", **fields)
    await house.bus.publish(MODEL_SERVING, fact)


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


async def test_the_other_door_says_the_same(house: House):
    await say(house, BUILD, state=READY, abilities=ABLE)
    async with grpc_door(house) as door:

        async def told() -> Any:
            request = pb.GetModelRequest(model="default")
            model = (await door.GetModel(request, timeout=CALL_SECONDS)).model
            return model.abilities if model.HasField("abilities") else None

        assert await eventually(told) == ABLE
        listed = (await door.ListModels(pb.ListModelsRequest(), timeout=CALL_SECONDS)).models
    assert {each.id: each.abilities for each in listed}[BUILD] == ABLE
