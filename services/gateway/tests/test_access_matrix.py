"""Every route and procedure of the tables, against every caller who must not pass.

The callers of another tenant may do everything, in their own tenant, and ask for what is there.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from gateway.domain.access import SCOPES
from gateway.domain.routes import ROUTES, Body, Route
from gateway.entrypoints.grpc.gate import ROUTE_OF
from gateway_support.api_keys import issued
from gateway_support.estate import OWNER, Estate, furnished, names_an_object
from gateway_support.grpc_door import CALL_SECONDS
from gateway_support.house import House, run_house
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from service_kit.grpc_client import open_channel
from testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

GUARDED = [route for route in ROUTES if route.scope is not None]
PROCEDURES = list(pb.DESCRIPTOR.services_by_name["GatewayService"].methods)
SCOPE_OF = {route.name: route.scope for route in ROUTES}
FOREIGN = ("another tenant", "a key of another tenant")
Status = grpc.StatusCode
OURS = "modelmill."


@dataclass
class Scene:
    """A tenant with something of every kind, and what strangers show at the door."""

    house: House
    owner: httpx.AsyncClient
    estate: Estate
    shown: dict[str, str]
    lesser_keys: dict[str, str]
    """By scope, keys of the owner that have every other."""
    before: dict[str, int] = field(default_factory=dict)
    """What the owner's own requests were answered with, before anybody else came."""

    async def found(self) -> dict[str, int]:
        """The same now, by route."""
        token = self.house.issuer.token(tenant=OWNER)
        return {
            route.name: (await asked(self, route, token)).status_code
            for route in GUARDED
            if route.method == "GET"
        }

    def attempts(self, scope: str) -> dict[str, tuple[str, int]]:
        """What is shown, and the status that it gets, whatever is asked for."""
        others = " ".join(each for each in SCOPES if each != scope)
        issuer = self.house.issuer
        return {
            "an expired token": (issuer.token(tenant=OWNER, exp=1), 401),
            "too little scope": (issuer.token(tenant=OWNER, scope=others), 403),
            "an expired key": (self.shown["expired"], 401),
            "a revoked key": (self.shown["revoked"], 401),
            "a key of too little scope": (self.lesser_keys[scope], 403),
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house in which webhooks of this machine can be registered."""
    folder = tmp_path_factory.mktemp("house")
    async with run_house(folder, webhook_allow_private=True) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(shared_house: House) -> AsyncIterator[Scene]:
    owner, stranger = shared_house.http(tenant=OWNER), shared_house.http(tenant="stranger")
    estate = await furnished(shared_house, owner)
    everything = list(SCOPES)
    expired = await issued(owner, scopes=everything, expires_in_seconds=1)
    revoked = await issued(owner, scopes=everything)
    await owner.delete(f"/v1/keys/{revoked['id']}")
    lesser = {
        scope: (await issued(owner, scopes=[each for each in SCOPES if each != scope]))["key"]
        for scope in SCOPES
    }
    shown = {
        "expired": expired["key"],
        "revoked": revoked["key"],
        "another tenant": shared_house.issuer.token(tenant="stranger"),
        "a key of another tenant": (await issued(stranger, scopes=everything))["key"],
    }
    bearer = {"authorization": f"Bearer {expired['key']}"}

    async def has_expired() -> bool:
        return (await stranger.get("/v1/models", headers=bearer)).status_code == 401

    await eventually(has_expired)
    made = Scene(shared_house, owner, estate, shown, lesser)
    made.before = await made.found()
    yield made
    await shared_house.clients.aclose()


async def asked(scene: Scene, route: Route, token: str | None) -> httpx.Response:
    """What comes of asking for what the owner has."""
    client = scene.house.http()
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    del client.headers["authorization"]
    content: dict[str, Any] = {}
    if route.body is Body.JSON:
        content = {"json": scene.estate.body(route)}
    if route.body is Body.UPLOAD:
        field = "data" if route.path.endswith("/parts") else "file"
        purpose = {} if field == "data" else {"purpose": "fine-tune"}
        content = {"files": {field: ("a.jsonl", b"{}\n")}, "data": purpose}
    return await client.request(route.method, scene.estate.path(route), headers=headers, **content)


async def test_there_is_something_of_every_kind_that_could_be_reached(scene: Scene):
    assert scene.estate.unmade == []


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
async def test_no_route_answers_who_may_not_pass(scene: Scene, route: Route):
    assert (await asked(scene, route, None)).status_code == 401
    for name, (shown, status) in scene.attempts(str(route.scope)).items():
        answer = await asked(scene, route, shown)
        assert (answer.status_code, scene.estate.mentioned(answer.text)) == (status, []), name


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
async def test_no_route_gives_what_is_another_tenants(scene: Scene, route: Route):
    named = scene.estate.mentioned(str(scene.estate.body(route)))
    for caller in FOREIGN:
        answer = await asked(scene, route, scene.shown[caller])
        if names_an_object(route):
            assert answer.status_code == 404, f"{caller}: {answer.text}"
        elif named:
            assert 400 <= answer.status_code < 500, f"{caller}: {answer.text}"
        else:
            # A list, or something new: of the stranger's own, and of nothing else.
            assert answer.status_code < 500, f"{caller}: {answer.text}"
            assert scene.estate.mentioned(answer.text) == [], caller


async def test_after_all_that_the_owner_has_everything_as_it_was(scene: Scene):
    """Runs behind the others: what strangers deleted or changed would be missing here."""
    found = await scene.found()

    assert found == scene.before
    assert 200 in found.values()


# gRPC ---------------------------------------------------------------------------------------------


def request_of(procedure: Any, estate: Estate) -> tuple[Any, bool]:
    """A request for what the owner has, and whether there is anything of the kind in it."""
    request = getattr(pb, procedure.input_type.name)()
    return request, _name_own(request, _own_fields(estate, ROUTE_OF[procedure.name]))


def _own_fields(estate: Estate, route_name: str) -> dict[str, str]:
    path = next(route.path for route in ROUTES if route.name == route_name)
    job = next((estate.ids[k] for k in estate.ids if path.startswith(k) and "{job_id}" in path), "")
    files, datasets = estate.ids["/v1/files/"], estate.ids["/v1/datasets/"]
    return {
        "file_id": files,
        "dataset_id": datasets,
        "other_dataset_id": datasets,
        "upload_id": estate.ids["/v1/uploads/"],
        "job_id": job or estate.ids["/v1/jobs/"],
        "model": "mv-own",
        "version_id": "mv-own",
        "source_version_id": "mv-own",
    }


def _name_own(message: Any, own: dict[str, str]) -> bool:
    """Write the owner's ids into the fields that are called so, also of messages within."""
    named = False
    for each in message.DESCRIPTOR.fields:
        if each.is_repeated:
            continue
        if each.type == each.TYPE_STRING and each.name in own:
            setattr(message, each.name, own[each.name])
            named = True
        elif each.name == "share":
            # Of a shadow, which without one is refused before anybody asks whose it is.
            message.share = 1.0
        elif each.type == each.TYPE_MESSAGE and not each.message_type.full_name.startswith(
            "google"
        ):
            within = type(getattr(message, each.name))()
            if _name_own(within, own):
                getattr(message, each.name).CopyFrom(within)
                named = True
    return named


async def called(scene: Scene, procedure: Any, token: str | None) -> tuple[Status, str]:
    """Status, and all that was said: details, or messages as text."""
    request, _ = request_of(procedure, scene.estate)
    given = iter([request]) if procedure.client_streaming else request
    opened = (
        grpc.aio.insecure_channel(scene.house.grpc_address)
        if token is None
        else open_channel(scene.house.grpc_address, token)
    )
    async with opened as channel:
        call = getattr(GatewayServiceStub(channel), procedure.name)(given, timeout=CALL_SECONDS)
        said = ""
        try:
            said = str([m async for m in call]) if procedure.server_streaming else str(await call)
        except grpc.aio.AioRpcError as error:
            said = error.details() or ""
        return await call.code(), said


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
async def test_no_procedure_answers_who_may_not_pass(scene: Scene, procedure: Any):
    scope = SCOPE_OF[ROUTE_OF[procedure.name]]
    assert (await called(scene, procedure, None))[0] is Status.UNAUTHENTICATED
    statuses = {401: Status.UNAUTHENTICATED, 403: Status.PERMISSION_DENIED}
    for name, (shown, status) in scene.attempts(str(scope)).items():
        code, said = await called(scene, procedure, shown)
        assert (code, scene.estate.mentioned(said)) == (statuses[status], []), name


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
async def test_no_procedure_gives_what_is_another_tenants(scene: Scene, procedure: Any):
    _, named = request_of(procedure, scene.estate)
    for caller in FOREIGN:
        code, said = await called(scene, procedure, scene.shown[caller])
        if named:
            assert code in (Status.NOT_FOUND, Status.INVALID_ARGUMENT), f"{caller}: {code} {said}"
        else:
            assert code in (Status.OK, Status.INVALID_ARGUMENT), f"{caller}: {code} {said}"
            assert scene.estate.mentioned(said) == [], caller
