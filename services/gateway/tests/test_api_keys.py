"""API keys over HTTP and gRPC: what they allow, and who may create which."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.api_keys import EVERYTHING, issued, with_key
from gateway_support.grpc_client import CALL_SECONDS, refused
from gateway_support.house import BUILD, House
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS = (
    "modelmill_gateway",
    "modelmill_jobs",
    "modelmill_registry",
    "modelmill_service_kit",
    "httpx",
    "nats",
    "asyncio",
    "uvicorn",
)


def chat(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}]}


# What a key opens ---------------------------------------------------------------------------------


async def test_a_key_opens_what_its_scopes_say_and_nothing_else(house: House):
    key = (await issued(house.http(), scopes=["models:read"]))["key"]
    async with with_key(house, key) as client:
        assert (await client.get("/v1/models")).status_code == 200
        assert (await client.get("/v1/files")).status_code == 403
        assert (await client.post("/v1/chat/completions", json=chat("default"))).status_code == 403


async def test_a_key_acts_for_its_tenant_under_its_own_id(house: House):
    made = await issued(house.http(tenant="keyed", sub="ada"), scopes=EVERYTHING)
    async with with_key(house, made["key"]) as client:
        child = await issued(client, scopes=["chat"])
    async with house.http(tenant="keyed") as client:
        listed = (await client.get("/v1/keys")).json()["data"]

    assert [each["created_by"] for each in listed] == [made["id"], "ada"]
    assert [each["id"] for each in listed] == [child["id"], made["id"]]
    assert all(
        each["prefix"] == whole["key"][:10]
        for each, whole in zip(listed, (child, made), strict=True)
    )
    assert not any("key" in each for each in listed)


async def test_a_key_comes_in_either_header_and_never_in_both(house: House):
    key = (await issued(house.http()))["key"]
    async with house.http() as client:
        del client.headers["authorization"]
        bearer, other = {"authorization": f"Bearer {key}"}, {"x-api-key": key}
        for headers, status in (
            (bearer, 200),
            (other, 200),
            ({"x-api-key": house.issuer.token()}, 200),
            (bearer | other, 401),
            ({"x-api-key": f"Bearer {key}"}, 401),
            ({"authorization": key}, 401),
        ):
            answer = await client.get("/v1/models", headers=headers)
            assert answer.status_code == status, headers
        assert (await client.get("/v1/models", headers=[("x-api-key", key)] * 2)).status_code == 401


async def test_a_key_is_valid_over_grpc_too(house: House):
    made = await issued(house.http(), scopes=["models:read"], models=["default"])
    async with open_channel(house.grpc_address, made["key"]) as channel:
        stub = GatewayServiceStub(channel)
        listed = await stub.ListModels(pb.ListModelsRequest(), timeout=CALL_SECONDS)
        assert [model.id for model in listed.models] == ["default"]
        async with refused(grpc.StatusCode.PERMISSION_DENIED, "may not ask for the model"):
            await stub.GetModel(pb.GetModelRequest(model=BUILD), timeout=CALL_SECONDS)
        await house.http().delete(f"/v1/keys/{made['id']}")
        async with refused(grpc.StatusCode.UNAUTHENTICATED, "not valid"):
            await stub.ListModels(pb.ListModelsRequest(), timeout=CALL_SECONDS)


# What a key never opens ---------------------------------------------------------------------------


async def test_unknown_expired_revoked_and_rotated_keys_get_one_and_the_same_refusal(house: House):
    owner = house.http(tenant="ending")
    revoked = await issued(owner)
    await owner.delete(f"/v1/keys/{revoked['id']}")
    rotated = await issued(owner)
    new = (await owner.post(f"/v1/keys/{rotated['id']}/rotate")).json()
    expired = await issued(owner, expires_in_seconds=1)
    await eventually(lambda: time.time() > expired["expires_at"])
    attempts = {
        "unknown": "mm-" + "A" * 43,
        "revoked": revoked["key"],
        "rotated": rotated["key"],
        "expired": expired["key"],
        "short": revoked["key"][:-1],
        "longer": new["key"] + "A",
        "not ascii": new["key"][:-1] + "é",
        "prefix alone": "mm-",
        "its hash": "mm-" + "0" * 64,
    }
    said = set()
    for name, key in attempts.items():
        async with house.http() as client:
            del client.headers["authorization"]
            # As bytes, because one of them is no ASCII.
            answer = await client.get("/v1/models", headers=[(b"x-api-key", key.encode())])
        assert answer.status_code == 401, name
        said.add(answer.json()["error"]["message"])
    async with with_key(house, new["key"]) as client:
        assert (await client.get("/v1/models")).status_code == 200

    assert said == {"the API key is not valid"}
    shown = {each["id"]: each["status"] for each in (await owner.get("/v1/keys")).json()["data"]}
    assert [shown[each["id"]] for each in (revoked, rotated, expired)] == [
        *("revoked", "active", "expired")
    ]


async def test_what_is_revoked_at_one_gateway_is_refused_by_another(house: House):
    async with another_gateway(house) as other, other.house.http() as elsewhere:
        for _ in range(5):
            made = await issued(house.http())
            elsewhere.headers["authorization"] = f"Bearer {made['key']}"
            await eventually(lambda: _status_is(elsewhere, 200))
            revoking = asyncio.create_task(house.http().delete(f"/v1/keys/{made['id']}"))
            await eventually(lambda: _status_is(elsewhere, 401))
            assert (await revoking).json()["deleted"] is True


async def _status_is(client: httpx.AsyncClient, status: int) -> bool:
    return (await client.get("/v1/models")).status_code == status


@pytest.mark.own_broker
@pytest.mark.asyncio(loop_scope="function")
async def test_of_a_key_nothing_is_kept_that_opens_anything(
    own_house: House, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    owner = own_house.http(tenant="kept")
    made = await issued(owner, scopes=EVERYTHING, limits={"tokens": 5})
    rotated = (await owner.post(f"/v1/keys/{made['id']}/rotate")).json()
    heard = []
    for key in (made["key"], rotated["key"]):
        async with with_key(own_house, key) as client:
            heard += [
                *(await client.get("/v1/models"), await client.get("/v1/jobs")),
                *(await client.get(f"/v1/keys/{made['id']}"), await client.get("/v1/keys")),
                await client.post("/v1/chat/completions", json=chat("nobody")),
            ]
    store = Path(own_house.settings.artifact_root).parent / "nats"
    stored = b"".join(file.read_bytes() for file in store.rglob("*") if file.is_file())
    assert made["id"].encode() in stored
    ours = [record for record in caplog.records if record.name.split(".")[0] in OURS]
    assert ours
    for key in (made["key"], rotated["key"]):
        # Without what the prefix shows.
        bare = key[10:]
        assert bare.encode() not in stored
        assert not any(bare in answer.text + str(answer.headers) for answer in heard)
        said = [f"{each.getMessage()} {vars(each)} {each.exc_info}" for each in ours]
        assert not any(bare in each for each in said)


# Models -------------------------------------------------------------------------------------------


async def test_a_key_of_some_models_asks_for_no_other_and_is_shown_no_other(house: House):
    made = await issued(house.http(), scopes=["chat", "models:read", "jobs"], models=["default"])
    async with with_key(house, made["key"]) as client:
        assert (await client.post("/v1/chat/completions", json=chat("default"))).is_success
        for path, body in (
            ("/v1/chat/completions", chat("tiny")),
            ("/v1/chat/completions", chat("no-such-model")),
            ("/v1/completions", {"model": BUILD, "prompt": "a"}),
            ("/v1/embeddings", {"model": "tiny", "input": "a"}),
            ("/generate", {"model": "tiny", "prompt": "a"}),
            ("/v1/evaluations", {"model": "tiny", "dataset_id": "ds-x"}),
        ):
            answer = await client.post(path, json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                *(403, "model_not_allowed"),
            ), path
        shown = (await client.get("/v1/models")).json()["data"]
        assert [each["id"] for each in shown] == ["default"]
        assert (await client.get("/v1/aliases")).json()["data"][0]["name"] == "default"
        assert (await client.get("/v1/models/tiny")).status_code == 403
    by_name = await issued(house.http(), scopes=["models:read"], models=["tiny"])
    async with with_key(house, by_name["key"]) as client:
        shown = (await client.get("/v1/models")).json()["data"]
        assert {each.get("name") for each in shown} == {"tiny"}
        assert (await client.get("/v1/aliases")).json()["data"] == []
