"""What is asked where nobody names a model: the default, else the only model that is served."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway_support.house import ADAPTER, BUILD, House, run_house
from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady, ModelRetired
from modelmill_bus.subjects import MODEL_RETIRED
from modelmill_gateway.routing.find_model import served_names
from modelmill_testkit.waiting import eventually


@pytest_asyncio.fixture
async def plain(tmp_path: Path) -> AsyncIterator[House]:
    """A house with two models, "tiny" and "kinds", and no default."""
    async with run_house(tmp_path) as house:
        await house.say_alias("shared", "default", "")
        aliases = house.http()

        async def is_gone() -> bool:
            return (await aliases.get("/v1/aliases")).json()["data"] == []

        await eventually(is_gone)
        yield house


async def generated(house: House, **claims: Any) -> httpx.Response:
    return await house.http(**claims).post("/generate", json={"prompt": "hi"})


async def test_the_default_is_the_only_model_that_is_served_else_what_the_alias_says(plain: House):
    refused = await generated(plain)
    assert refused.status_code == 404
    said = refused.json()["error"]["message"]
    assert said.startswith("2 models are served and none is the default")
    assert "mill models alias default MODEL" in said
    assert "\n" not in said

    await plain.bus.publish(MODEL_RETIRED, ModelRetired(version_id=ADAPTER, tenant="shared"))
    await plain.bus.publish(MODEL_RETIRED, ModelRetired(version_id="mv-tuned", tenant="shared"))

    async def is_only_one() -> bool:
        return (await generated(plain)).status_code == 200

    await eventually(is_only_one)
    assert plain.inference.requests[-1].model == "mv-base"
    body = {"model": "default", "messages": [{"role": "user", "content": "hi"}]}
    chat = await plain.http().post("/v1/chat/completions", json=body)
    assert chat.status_code == 200
    assert (await plain.http().get("/v1/models/default")).json()["name"] == "tiny"

    moved = await plain.http().put("/v1/aliases/default", json={"version_id": BUILD})
    assert moved.status_code == 200
    assert (await generated(plain)).headers["x-model-version"] == BUILD


async def test_a_chat_without_a_model_is_refused_as_openai_does(plain: House):
    body = {"messages": [{"role": "user", "content": "hi"}]}
    refused = await plain.http().post("/v1/chat/completions", json=body)
    assert refused.status_code in (400, 422)
    assert "model" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("aliases", "names", "served"),
    [
        ({}, [], []),
        ({}, ["a", "a"], ["a"]),
        ({"x": "mv-0"}, ["a", "a"], ["x"]),
        ({"x": "mv-0", "y": "mv-0"}, ["a"], ["x"]),
        ({"x": "mv-0"}, ["a", "b"], ["x", "b"]),
        ({"x": "mv-0", "y": "mv-1"}, ["a", "a"], ["y", "x"]),
    ],
)
def test_a_model_is_served_once_however_many_names_and_versions_it_has(
    aliases: dict[str, str], names: list[str], served: list[str]
):
    said = [AliasState(name=name, version_id=version) for name, version in aliases.items()]
    versions = [ModelReady(version_id=f"mv-{at}", name=name) for at, name in enumerate(names)]
    assert sorted(served_names(said, versions)) == sorted(served)
