"""Every route of the table against every kind of caller who must not pass."""

from dataclasses import dataclass

import httpx
import pytest
from gateway_support.house import BUILD, House
from modelmill_gateway.domain.access import SCOPES
from modelmill_gateway.domain.routes import ROUTES, Body, Route

pytestmark = pytest.mark.asyncio(loop_scope="module")

GUARDED = [route for route in ROUTES if not route.is_open]
PLACES = {
    "{model}": "mv-x",
    "{name}": "x",
    "{file_id}": "file-x",
    "{dataset_id}": "ds-x",
    "{upload_id}": "upload_x",
    "{webhook_id}": "wh-x",
    "{batch_id}": "batch-x",
    "{eval_id}": "eval-x",
    "{run_id}": "evalrun-x",
    "{output_item_id}": "evalrun-x-0",
    "{feedback_id}": "fb-x",
    "{tenant}": "tenant-x",
}


def path_of(route: Route) -> str:
    path = route.path.replace("{job_id}", "job-x")
    for place, value in PLACES.items():
        path = path.replace(place, value)
    return path


async def test_only_liveness_and_the_documents_are_open():
    assert {route.name for route in ROUTES} - {route.name for route in GUARDED} == {
        "index",
        "documentation",
        "documentation_page",
        "console",
        "console_page",
        "list_sign_in",
        "reference",
        "health",
        "ready",
        "openapi",
        "asyncapi",
    }


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
async def test_a_route_refuses_whoever_may_not_pass(house: House, route: Route):
    good = house.issuer.token()
    wrong_scope = " ".join(scope for scope in SCOPES if scope != route.scope)
    attempts = {
        "no token": ({}, 401),
        "not a bearer": ({"authorization": f"Basic {good}"}, 401),
        "expired": ({"authorization": f"Bearer {house.issuer.token(exp=1)}"}, 401),
        "forged": ({"authorization": f"Bearer {good[:-6]}AAAAAA"}, 401),
    }
    if route.scope is not None:
        lesser = house.issuer.token(scope=wrong_scope)
        attempts["wrong scope"] = ({"authorization": f"Bearer {lesser}"}, 403)
    async with house.http() as client:
        client.headers.pop("authorization")
        for name, (headers, status) in attempts.items():
            answer = await client.request(route.method, path_of(route), headers=headers)
            error = answer.json()["error"]

            assert answer.status_code == status, name
            assert error["type"] in ("authentication_error", "permission_error"), name
            assert error["request_id"] == answer.headers["x-request-id"], name
            assert ("www-authenticate" in answer.headers) == (status == 401), name


async def test_two_authorization_headers_are_one_too_many(house: House):
    async with house.http() as client:
        answer = await client.get(
            "/v1/models", headers=[("authorization", f"Bearer {house.issuer.token()}")] * 2
        )
    assert answer.status_code == 401


async def test_the_right_scope_alone_opens_each_route(house: House):
    for route in GUARDED:
        async with house.http(scope=route.scope or "") as client:
            answer = await client.request(route.method, path_of(route))
            assert answer.status_code not in (401, 403, 405, 500), route.name


@dataclass(frozen=True)
class Estate:
    """What one tenant has, by id."""

    file: str
    dataset: str
    making: str
    """The job that makes the dataset."""
    training: str

    @property
    def paths(self) -> list[str]:
        """Where its owner reads it."""
        return [
            "/v1/models/mv-own",
            "/v1/models/private",
            f"/v1/files/{self.file}",
            f"/v1/files/{self.file}/content",
            f"/v1/datasets/{self.dataset}",
            f"/v1/jobs/{self.making}",
            f"/v1/jobs/{self.training}",
            f"/v1/fine_tuning/jobs/{self.training}",
            f"/v1/fine_tuning/jobs/{self.training}/events",
        ]


async def estate_of(house: House, owner: httpx.AsyncClient) -> Estate:
    await house.say_model("mv-own", tenant="owner", name="own", form="openvino-int8")
    await house.say_alias("owner", "private", "mv-own")
    file = (
        await owner.post(
            "/v1/files", files={"file": ("a.jsonl", b"{}")}, data={"purpose": "fine-tune"}
        )
    ).json()["id"]
    dataset = (
        await owner.post(
            "/v1/datasets", json={"file_id": file, "mapping": {"messages_column": "messages"}}
        )
    ).json()
    training = (
        await owner.post("/v1/fine_tuning/jobs", json={"model": "tiny", "training_file": file})
    ).json()["id"]
    return Estate(file, dataset["id"], dataset["job_id"], training)


async def test_one_tenant_sees_and_moves_nothing_of_another(house: House):
    owner, stranger = house.http(tenant="owner"), house.http(tenant="stranger")
    estate = await estate_of(house, owner)
    file, secrets = estate.file, ("mv-own", "private", estate.file, estate.training)
    lists = ["/v1/models", "/v1/aliases", "/v1/files", "/v1/jobs", "/v1/fine_tuning/jobs"]

    for path in estate.paths:
        assert (await owner.get(path)).status_code == 200, path
        assert (await stranger.get(path)).status_code == 404, path
    for path in lists:
        text = (await stranger.get(path)).text
        assert not any(secret in text for secret in secrets), path
    for attempt in (
        stranger.post("/v1/datasets", json={"file_id": file, "mapping": {"messages_column": "m"}}),
        stranger.post("/v1/fine_tuning/jobs", json={"model": "tiny", "training_file": file}),
        stranger.post(
            "/v1/fine_tuning/jobs", json={"model": "tiny", "training_file": estate.dataset}
        ),
        stranger.put("/v1/aliases/mine", json={"version_id": "mv-own"}),
        stranger.post(
            "/v1/chat/completions",
            json={"model": "mv-own", "messages": [{"role": "user", "content": "hi"}]},
        ),
    ):
        assert (await attempt).status_code == 404

    moved = await stranger.put("/v1/aliases/default", json={"version_id": BUILD})
    assert moved.json()["owned_by"] == "stranger"
    assert (await owner.get("/v1/models/default")).json()["owned_by"] == "shared"


async def test_a_tenant_in_the_request_changes_nothing(house: House):
    async with house.http(tenant="acme") as client:
        answer = await client.get(
            "/v1/models/mv-own?tenant=owner", headers={"x-tenant": "owner", "tenant": "owner"}
        )
    assert answer.status_code == 404


async def test_what_the_table_does_not_name_is_not_reachable(house: House):
    async with house.http() as client:
        for path in (
            "/docs/",
            "/redoc",
            "/metrics",
            "/v1",
            "/v1/",
            "/v1/models/",
            "//v1/models",
            "/v1/x",
        ):
            answer = await client.get(path)
            assert answer.status_code == 404, path
            assert answer.json()["error"]["code"] == "not_found"
        refused = await client.put("/v1/files/file-x")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET, DELETE"


async def test_the_api_document_names_every_route_and_its_scope(house: House):
    async with house.http() as client:
        client.headers.pop("authorization")
        document = (await client.get("/openapi.json")).json()
    for route in ROUTES:
        operation = document["paths"][route.template][route.method.lower()]
        assert operation["operationId"] == route.name
        scopes = [route.scope] if route.scope else []
        assert operation["security"] == ([] if route.is_open else [{"token": scopes}])
        assert ("requestBody" in operation) == (route.body is not Body.NONE)
    assert "lora_rank" in document["components"]["schemas"]["HyperParametersBody"]["properties"]
