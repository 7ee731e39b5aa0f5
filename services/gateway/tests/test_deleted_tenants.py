"""A deleted tenant leaves nothing behind but the record by which its tokens are refused."""

import asyncio
import io
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import pytest
from gateway_support.api_keys import issued, with_key
from gateway_support.document import body_example
from gateway_support.estate import FILE, REQUESTS
from gateway_support.house import House
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.moderation.v1.moderation_events_pb2 import ModerationRecorded
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import STREAMS
from modelmill_bus.tenant_eraser import TenantEraser
from modelmill_gateway.domain.access import OPERATOR, sha256_of
from modelmill_registry.store import FolderStore
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.waiting import eventually
from nats.js.errors import NotFoundError

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASKED = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}


@asynccontextmanager
async def other_erasers(house: House) -> AsyncIterator[None]:
    """Those of the services beside the gateway, as these run them."""
    store = FolderStore(house.settings.work_root.parent / "artifacts")
    making = [
        TenantEraser(house.bus, "moderation"),
        TenantEraser(house.bus, "trainer", artifacts=store),
        TenantEraser(house.bus, "data-prep", artifacts=store),
    ]
    running = [asyncio.create_task(each.run()) for each in making]
    try:
        yield
    finally:
        for task in running:
            task.cancel()


def operator(house: House) -> httpx.AsyncClient:
    return house.http(tenant="operators", scope=OPERATOR)


async def moved_in(house: House, tenant: str) -> str:
    """Let a tenant have something of every kind; gives a key of it."""
    client = house.http(tenant=tenant)
    await house.say_model(f"mv-{tenant}", tenant=tenant, name="own", form="openvino-int8")
    await house.say_alias(tenant, "private", f"mv-{tenant}")
    verdict = ModerationRecorded(tenant=tenant, policy_digest="sha256:1")
    await house.bus.publish("audit.moderation", verdict)
    key = await issued(client, limits={"tokens": 100_000})
    async with with_key(house, key["key"]) as bearer:
        assert (await bearer.post("/v1/chat/completions", json=ASKED)).status_code == 200
    made = [
        await client.put("/v1/budget", json={"limits": {"requests_per_minute": 600}}),
        await client.post("/v1/feedback", json={"report": "missed", "text": f"from {tenant}"}),
        await client.post(
            "/v1/files", files={"file": ("a.jsonl", FILE)}, data={"purpose": "evals"}
        ),
    ]
    upload = {"file": ("b.jsonl", REQUESTS)}
    batch = await client.post("/v1/files", files=upload, data={"purpose": "batch"})
    ordered = {"input_file_id": batch.json()["id"], "endpoint": "/v1/chat/completions"}
    made.append(await client.post("/v1/batches", json=ordered | {"completion_window": "24h"}))
    dataset = (body_example("create_dataset") or {}) | {"file_id": made[2].json()["id"]}
    dataset.pop("file_ids", None)
    made.append(await client.post("/v1/datasets", json=dataset))
    made.append(await client.post("/v1/evals", json=body_example("create_eval")))
    assert [each.text for each in made if not each.is_success] == []
    return str(key["key"])


async def streams_naming(bus: Bus, name: str) -> set[str]:
    """Streams in whose messages, or the subjects of these, the name stands."""
    found, js = set(), bus._link.js
    for stream in STREAMS:
        state = (await js.stream_info(stream.name)).state
        for sequence in range(max(state.first_seq, 1), state.last_seq + 1):
            try:
                raw: Any = await js.get_msg(stream.name, sequence)
            except NotFoundError:  # it was erased
                continue
            if name in f"{raw.subject} {raw.headers} {(raw.data or b'').decode(errors='ignore')}":
                found.add(stream.name)
    return found


async def deleted(house: House, tenant: str) -> dict[str, Any]:
    """The tenant, once it is deleted."""
    shown: dict[str, Any] = {}

    async def is_deleted() -> bool:
        nonlocal shown
        shown = (await operator(house).get(f"/v1/tenants/{tenant}")).json()
        return shown["status"] == "deleted"

    await eventually(is_deleted)
    return shown


async def test_nothing_is_left_of_a_deleted_tenant_but_its_record(house: House):
    key = await moved_in(house, "gone-for-good")
    await moved_in(house, "neighbour")
    async with other_erasers(house):
        begun = await operator(house).delete("/v1/tenants/gone-for-good")
        assert (begun.status_code, begun.json()["status"]) == (202, "deleting")

        shown = await deleted(house, "gone-for-good")

        async def is_gone() -> bool:
            # Behind the answer the gateway writes down what a key has used.
            return await streams_naming(house.bus, "gone-for-good") == {"TENANTS"}

        await eventually(is_gone)
    removed = shown["removed"]
    kinds = ("aliases", "batches", "feedback", "jobs", "keys", "models", "evals")
    assert {kind: removed[kind] for kind in kinds} == dict.fromkeys(kinds, 1)
    assert removed["usage"] >= 1
    assert removed["limits"] == 2
    async with with_key(house, key) as bearer:
        for client in (house.http(tenant="gone-for-good"), bearer):
            answer = await client.get("/v1/models")
            assert answer.status_code in (401, 403)
    refused = await house.http(tenant="gone-for-good").get("/v1/models")
    assert refused.json()["error"]["code"] == "tenant_deleted"
    neighbour = house.http(tenant="neighbour")
    assert (await neighbour.post("/v1/chat/completions", json=ASKED)).status_code == 200
    assert [each["id"] for each in (await neighbour.get("/v1/jobs")).json()["data"]]
    assert {"KEYS", "JOBS", "MODELS", "USAGE"} <= await streams_naming(house.bus, "neighbour")


async def exported(house: House, tenant: str) -> dict[str, bytes]:
    """What is in the archive, by name."""
    answer = await operator(house).get(f"/v1/tenants/{tenant}/export")
    assert answer.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        return {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]


async def test_an_archive_has_everything_of_the_tenant_and_no_secret(house: House):
    key = await moved_in(house, "exported")
    await moved_in(house, "beside-it")

    async def whole() -> dict[str, bytes]:
        # Behind the answer the gateway writes down what a key has used.
        found = await exported(house, "exported")
        return found if found["usage.jsonl"] else {}

    found = await eventually(whole)
    lists = {name: content.splitlines() for name, content in found.items() if ".jsonl" in name}
    counts = {name.removesuffix(".jsonl"): len(lines) for name, lines in lists.items()}
    one_of_each = ("models", "aliases", "keys", "evals", "feedback", "usage")
    assert {name: counts[name] for name in one_of_each} == dict.fromkeys(one_of_each, 1)
    assert counts["jobs"] == 2
    # And answers of the batch, if it has ended.
    contents = [found[name] for name in found if name.startswith("files/")]
    assert len(contents) == counts["files"]
    assert {FILE, REQUESTS} <= {*contents}
    assert json.loads(found["tenant.json"])["budget"]["limits"]["requests_per_minute"] == "600"
    whole = b"".join(found.values())
    assert b"beside-it" not in whole
    assert sha256_of(key).encode() not in whole
    assert key.encode() not in whole


async def test_grpc_streams_the_same_archive(house: House):
    await operator(house).post("/v1/tenants", json={"name": "streamed"})
    token = house.issuer.token(tenant="operators", scope=OPERATOR)
    async with open_channel(house.grpc_address, token) as channel:
        stub = GatewayServiceStub(channel)
        chunks = [m.chunk async for m in stub.ExportTenant(pb.ExportTenantRequest(name="streamed"))]
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        names = archive.getnames()

    assert set(names) == (await exported(house, "streamed")).keys()


async def test_a_deletion_waits_for_whoever_is_away_and_then_ends(house: House):
    await moved_in(house, "waits")
    await operator(house).delete("/v1/tenants/waits")

    async def is_refused() -> bool:
        return (await house.http(tenant="waits").get("/v1/models")).status_code == 403

    await eventually(is_refused)
    assert (await operator(house).get("/v1/tenants/waits")).json()["status"] == "deleting"
    async with other_erasers(house):
        shown = await deleted(house, "waits")
    again = await operator(house).delete("/v1/tenants/waits")

    assert again.json() == shown


async def test_a_name_that_was_deleted_is_not_given_or_resumed_again(house: House):
    await operator(house).post("/v1/tenants", json={"name": "used"})
    async with other_erasers(house):
        await operator(house).delete("/v1/tenants/used")
        await deleted(house, "used")

    again = await operator(house).post("/v1/tenants", json={"name": "used"})
    assert (again.status_code, "was deleted" in again.text) == (422, True)
    for act in ("resume", "suspend"):
        answer = await operator(house).post(f"/v1/tenants/used/{act}")
        assert (answer.status_code, "was deleted" in answer.text) == (409, True)


@pytest.mark.parametrize(("name", "status"), [("nobody-here", 404), ("shared", 409)])
async def test_what_cannot_be_deleted_is_said_in_one_line(house: House, name: str, status: int):
    answer = await operator(house).delete(f"/v1/tenants/{name}")

    assert answer.status_code == status
    assert "\n" not in answer.json()["error"]["message"]


async def test_grpc_deletes_a_tenant_too(house: House):
    await operator(house).post("/v1/tenants", json={"name": "far"})
    token = house.issuer.token(tenant="operators", scope=OPERATOR)
    async with open_channel(house.grpc_address, token) as channel, other_erasers(house):
        stub = GatewayServiceStub(channel)
        begun = await stub.DeleteTenant(pb.DeleteTenantRequest(name="far"))
        assert begun.tenant.name == "far"
        await deleted(house, "far")
    async with open_channel(house.grpc_address, house.issuer.token(tenant="far")) as channel:
        call = GatewayServiceStub(channel).ListModels(pb.ListModelsRequest())
        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
