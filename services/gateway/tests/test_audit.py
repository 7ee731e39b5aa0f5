"""The audit log records changes over HTTP and gRPC, and other tenants cannot read it."""

import re
from contextlib import nullcontext
from typing import Any

import httpx
import pytest
from gateway_support.api_keys import EVERYTHING, issued, with_key
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import BLOCKED, BUILD, House
from grpc.aio import AioRpcError
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_gateway.domain.routes import ANSWERING, HANDING_OUT, ROUTES, is_recorded
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "something that a person wrote"


async def changes(client: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
    """What is shown, once there are so many, oldest first."""

    async def shown() -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = (await client.get("/v1/audit")).json()["data"]
        return data[::-1] if len(data) >= count else []

    found: list[dict[str, Any]] = await eventually(shown)
    assert len(found) == count
    return found


async def test_each_change_that_succeeds_is_recorded_with_who_and_what_and_no_text(house: House):
    owner = house.http(tenant="audited", sub="ada")
    key = await issued(owner, scopes=EVERYTHING, name=SECRET)
    client = with_key(house, key["key"])
    upload = {"file": (f"{SECRET}.jsonl", SECRET.encode())}
    file = (await client.post("/v1/files", files=upload, data={"purpose": "fine-tune"})).json()
    moved = await client.put("/v1/aliases/mine", json={"version_id": BUILD})
    await client.delete(f"/v1/files/{file['id']}")
    await owner.patch(f"/v1/keys/{key['id']}", json={"name": "other"})

    found = await changes(owner, 5)
    assert [
        (each["subject"], each["key_id"], each["route"], each["object_id"]) for each in found
    ] == [
        ("ada", None, "issue_key", key["id"]),
        (key["id"], key["id"], "upload_file", file["id"]),
        (key["id"], key["id"], "move_alias", "mine"),
        (key["id"], key["id"], "delete_file", file["id"]),
        ("ada", None, "change_key", key["id"]),
    ]
    assert all(re.fullmatch("change-req-[0-9a-f]{32}", each["id"]) for each in found)
    assert found[2]["request_id"] == moved.headers["x-request-id"]
    assert SECRET not in str(found)
    assert key["key"][10:] not in str(found)


async def test_what_is_refused_tried_or_only_answered_is_no_change(house: House):
    owner = house.http(tenant="refused")
    chat = {"model": "default", "messages": [{"role": "user", "content": "hi"}]}
    for attempt, status in (
        (owner.post("/v1/chat/completions", json=chat), 200),
        (owner.post("/v1/moderations", json={"input": BLOCKED}), 200),
        (owner.delete("/v1/files/file-nobody"), 404),
        (owner.post("/v1/keys", json={"name": ""}), 422),
        (owner.get("/v1/keys"), 200),
    ):
        assert (await attempt).status_code == status
    await issued(owner)

    assert [each["route"] for each in await changes(owner, 1)] == ["issue_key"]


async def test_changes_over_grpc_are_recorded_alike(house: House):
    owner = house.http(tenant="calling", sub="ada")
    async with grpc_stub(house, tenant="calling", sub="ada") as stub:
        moved = pb.MoveAliasRequest(name="mine", model=BUILD)
        await stub.MoveAlias(moved, timeout=CALL_SECONDS)
        await stub.ListModels(pb.ListModelsRequest(), timeout=CALL_SECONDS)

    (found,) = await changes(owner, 1)
    assert (found["subject"], found["route"], found["object_id"]) == ("ada", "move_alias", "mine")


async def test_another_tenant_is_shown_its_own_changes_only(house: House):
    await issued(house.http(tenant="first"))
    await issued(house.http(tenant="second"))
    first = await changes(house.http(tenant="first"), 1)
    second = await changes(house.http(tenant="second"), 1)

    assert first != second


async def test_who_takes_what_was_stored_is_recorded_and_who_lists_it_is_not(house: House):
    owner = house.http(tenant="taking", sub="ada")
    upload = {"file": ("rows.jsonl", SECRET.encode())}
    file = (await owner.post("/v1/files", files=upload, data={"purpose": "fine-tune"})).json()
    taken = await owner.get(f"/v1/files/{file['id']}/content")
    assert taken.text == SECRET
    for path in ("/v1/files", f"/v1/files/{file['id']}"):
        assert (await owner.get(path)).status_code == 200
    assert (await owner.get("/v1/files/file-nobody/content")).status_code == 404

    found = await changes(owner, 2)
    assert [each["route"] for each in found] == ["upload_file", "get_content"]
    assert (found[1]["subject"], found[1]["object_id"]) == ("ada", file["id"])
    assert SECRET not in str(found)

    async with grpc_stub(house, tenant="taking", sub="bob") as stub:
        for file_id, is_there in ((file["id"], True), ("file-nobody", False)):
            stream = stub.DownloadFile(
                pb.DownloadFileRequest(file_id=file_id), timeout=CALL_SECONDS
            )
            with nullcontext() if is_there else pytest.raises(AioRpcError):
                assert SECRET in b"".join([each.chunk async for each in stream]).decode()
    found = await changes(owner, 3)
    assert (found[2]["subject"], found[2]["route"]) == ("bob", "get_content")
    assert found[2]["object_id"] == file["id"]


async def test_a_route_that_writes_is_a_change_unless_it_is_named():
    recorded = {route.name for route in ROUTES if is_recorded(route)}

    assert {route.name for route in ROUTES} >= ANSWERING | HANDING_OUT
    assert recorded >= {"put_policy", "delete_model", "cancel_job", "complete_upload", "rotate_key"}
    assert not recorded & {"chat", "moderate", "count_tokens", "list_keys", "add_upload_part"}
