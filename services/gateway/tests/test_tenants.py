"""Tenants: what operators create, limit, suspend and resume, and who may do so."""

import grpc
import httpx
import pytest
from gateway_support.api_keys import issued, with_key
from gateway_support.house import House
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_events_pb2 import (
    TENANT_STATUS_ACTIVE,
    TENANT_STATUS_SUSPENDED,
    Limits,
)
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill_gateway.domain.access import OPERATOR, SCOPES
from modelmill_service_kit.grpc_client import open_channel

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASKED = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}


def operator(house: House) -> httpx.AsyncClient:
    return house.http(tenant="operators", scope=OPERATOR)


async def test_a_created_tenant_is_listed_before_it_has_anything(house: House):
    made = await operator(house).post("/v1/tenants", json={"name": "created"})

    assert made.status_code == 201
    listed = (await operator(house).get("/v1/tenants?limit=100")).json()["data"]
    assert made.json() in listed
    assert made.json()["status"] == "active"


async def test_a_name_is_given_once(house: House):
    await operator(house).post("/v1/tenants", json={"name": "once"})
    again = await operator(house).post("/v1/tenants", json={"name": "once"})
    shared = await operator(house).post("/v1/tenants", json={"name": "shared"})

    assert (again.status_code, again.json()["error"]["code"]) == (422, "already_exists")
    assert shared.status_code == 422


@pytest.mark.parametrize("name", ["", "Acme", "a.b", "-a", "a" * 64, "a\n", "*"])
async def test_what_cannot_be_a_tenants_name_is_refused(house: House, name: str):
    answer = await operator(house).post("/v1/tenants", json={"name": name})

    assert answer.status_code == 422
    (error,) = answer.json()["error"]["errors"]
    assert "1 to 63 of a-z" in error


async def test_a_tenant_that_tokens_alone_name_is_listed_once_it_has_something(house: House):
    await issued(house.http(tenant="by-token"))
    found = await operator(house).get("/v1/tenants/by-token")

    assert (found.json()["status"], found.json()["created_at"]) == ("active", None)


async def test_a_typo_is_answered_with_the_nearest_name(house: House):
    await operator(house).post("/v1/tenants", json={"name": "telescope"})
    for method, path in (
        *(("GET", ""), ("POST", "/suspend"), ("POST", "/resume"), ("PUT", "/limits")),
    ):
        body = {"limits": {}} if method == "PUT" else None
        answer = await operator(house).request(method, f"/v1/tenants/telescop{path}", json=body)
        assert answer.status_code == 404, path
        assert "Did you mean 'telescope'?" in answer.json()["error"]["message"], path


async def test_limits_of_an_operator_are_those_of_the_tenants_budget(house: House):
    tenant = house.http(tenant="limited")
    await operator(house).post("/v1/tenants", json={"name": "limited"})
    set_to = {"limits": {"requests_per_minute": 1}}
    answer = await operator(house).put("/v1/tenants/limited/limits", json=set_to)

    assert answer.json()["limits"]["requests_per_minute"] == 1
    assert (await tenant.get("/v1/budget")).json()["limits"] == answer.json()["limits"]
    assert (await tenant.post("/v1/chat/completions", json=ASKED)).status_code == 200
    assert (await tenant.post("/v1/chat/completions", json=ASKED)).status_code == 429


async def test_a_suspended_tenants_tokens_and_keys_are_refused_until_it_is_resumed(house: House):
    tenant, other = house.http(tenant="paused"), house.http(tenant="beside")
    key = with_key(house, (await issued(tenant))["key"])
    async with key:
        suspended = await operator(house).post("/v1/tenants/paused/suspend")
        assert suspended.json()["status"] == "suspended"
        for client in (tenant, key):
            answer = await client.post("/v1/chat/completions", json=ASKED)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (403, "tenant_suspended")
            assert "mill tenants resume paused" in error["message"]
        assert (await other.post("/v1/chat/completions", json=ASKED)).status_code == 200

        await operator(house).post("/v1/tenants/paused/resume")
        for client in (tenant, key):
            assert (await client.post("/v1/chat/completions", json=ASKED)).status_code == 200


async def test_a_suspension_said_twice_is_one(house: House):
    await operator(house).post("/v1/tenants", json={"name": "twice"})
    first = await operator(house).post("/v1/tenants/twice/suspend")

    assert (await operator(house).post("/v1/tenants/twice/suspend")).json() == first.json()


async def test_nobody_suspends_the_tenant_that_is_their_own_or_shared(house: House):
    await operator(house).post("/v1/tenants", json={"name": "operators"})
    for name in ("operators", "shared"):
        answer = await operator(house).post(f"/v1/tenants/{name}/suspend")
        assert answer.status_code == 409, name


async def test_no_key_has_the_scope_of_operators(house: House):
    both = house.http(tenant="ambitious", scope=" ".join([*SCOPES, OPERATOR]))
    answer = await both.post("/v1/keys", json={"name": "bot", "scopes": [OPERATOR]})

    assert answer.status_code == 422
    assert "no such scope" in answer.json()["error"]["message"]


async def test_grpc_does_the_same(house: House):
    token = house.issuer.token(tenant="operators", scope=OPERATOR)
    async with open_channel(house.grpc_address, token) as channel:
        stub = GatewayServiceStub(channel)
        made = await stub.CreateTenant(pb.CreateTenantRequest(name="remote"))
        limits = Limits(tokens=500, micros=12_500_000, period="month")
        limited = await stub.LimitTenant(pb.LimitTenantRequest(name="remote", limits=limits))
        suspended = await stub.SuspendTenant(pb.SuspendTenantRequest(name="remote"))
        found = await stub.GetTenant(pb.GetTenantRequest(name="remote"))
        resumed = await stub.ResumeTenant(pb.ResumeTenantRequest(name="remote"))
        listed = await stub.ListTenants(pb.ListTenantsRequest(limit=100))

    assert made.tenant.status == TENANT_STATUS_ACTIVE
    assert limited.tenant.limits == limits
    assert suspended.tenant.status == found.tenant.status == TENANT_STATUS_SUSPENDED
    assert resumed.tenant in listed.tenants


async def test_grpc_refuses_a_suspended_tenant(house: House):
    await issued(house.http(tenant="halted"))
    await operator(house).post("/v1/tenants/halted/suspend")
    async with open_channel(house.grpc_address, house.issuer.token(tenant="halted")) as channel:
        call = GatewayServiceStub(channel).ListModels(pb.ListModelsRequest())
        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "suspended" in await call.details()
