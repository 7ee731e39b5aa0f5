"""Who asks: what a credential of each kind names, grants, and until when."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.api_keys import issued, with_key
from gateway_support.house import House
from gateway_support.issuer import AUDIENCE, Issuer, rsa_key
from gateway_support.provider import running_provider
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill_gateway.domain.access import OPERATOR
from modelmill_gateway.oidc_settings import OidcSettings
from modelmill_service_kit.grpc_client import open_channel

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDS = 4_000_000_000


async def shown_to(client: httpx.AsyncClient) -> Mapping[str, Any]:
    answer = await client.get("/v1/me")
    assert answer.status_code == 200, answer.text
    shown: Mapping[str, Any] = answer.json()
    return shown


async def test_a_token_is_told_its_tenant_its_scopes_and_its_end(house: House):
    scope = f"{OPERATOR} openid usage chat"

    shown = await shown_to(house.http(tenant="acme", sub="ada", scope=scope, exp=ENDS))

    assert shown == {
        "object": "caller",
        "tenant": "acme",
        "subject": "ada",
        "scopes": ["chat", "usage", "operator"],
        "models": [],
        "key_id": None,
        "expires_at": ENDS,
    }


async def test_a_credential_without_any_scope_may_ask_who_it_is(house: House):
    assert (await shown_to(house.http(scope="")))["scopes"] == []


async def test_a_key_is_told_its_id_and_what_its_makers_leave_it(house: House):
    owner = house.http(tenant="acme")
    scopes, models = ["keys", "chat", "usage"], ["wordnet", "kinds"]
    maker = await issued(owner, scopes=scopes, models=models, expires_at=ENDS)
    made = await issued(with_key(house, maker["key"]), scopes=["chat"], models=["kinds"])
    endless = await issued(owner, scopes=["chat"])

    shown = await shown_to(with_key(house, maker["key"]))
    assert (shown["tenant"], shown["subject"], shown["key_id"]) == ("acme", *[maker["id"]] * 2)
    assert (shown["scopes"], shown["models"]) == (["chat", "keys", "usage"], ["kinds", "wordnet"])
    assert shown["expires_at"] == ENDS
    assert (await shown_to(with_key(house, endless["key"])))["expires_at"] is None
    assert (await shown_to(with_key(house, made["key"])))["models"] == ["kinds"]

    await owner.patch(f"/v1/keys/{maker['id']}", json={"models": ["wordnet", "kinds"]})
    earlier = {"expires_at": ENDS - 1000}
    assert (await owner.patch(f"/v1/keys/{maker['id']}", json=earlier)).status_code == 200
    assert (await shown_to(with_key(house, made["key"])))["expires_at"] == ENDS - 1000


async def test_grpc_tells_the_same(house: House):
    token = house.issuer.token(tenant="acme", sub="ada", scope="usage chat", exp=ENDS)
    async with open_channel(house.grpc_address, token) as channel:
        shown = await GatewayServiceStub(channel).GetMe(pb.GetMeRequest())

    assert (shown.tenant, shown.subject, shown.key_id) == ("acme", "ada", "")
    assert [*shown.scopes] == ["chat", "usage"]
    assert shown.expires_at.seconds == ENDS


async def test_a_token_of_a_provider_is_told_what_the_gateway_makes_of_it(
    house: House, tmp_path: Path
):
    async with running_provider() as provider:
        signer = Issuer(tmp_path / "jwks.json", "key-1", rsa_key(1))
        signer.name = provider.url
        provider.publish(signer)
        fixed = {"audience": AUDIENCE, "tenant": "fixed", "scopes": ["models:read"]}
        issuers = (OidcSettings.model_validate({"issuer": signer.name, **fixed}),)
        async with another_gateway(house, oidc_issuers=issuers) as other:
            client = other.house.http()
            client.headers["authorization"] = f"Bearer {signer.token(sub='grace', exp=ENDS)}"
            shown = await shown_to(client)

    assert (shown["tenant"], shown["subject"]) == ("fixed", "grace")
    assert (shown["scopes"], shown["expires_at"]) == (["models:read"], ENDS)


async def test_whose_tenant_is_suspended_is_told_that_and_nothing_else(house: House):
    operator = house.http(tenant="operators", scope=OPERATOR)
    await operator.post("/v1/tenants", json={"name": "idle"})
    await operator.post("/v1/tenants/idle/suspend")

    refused = await house.http(tenant="idle").get("/v1/me")

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "tenant_suspended")
