"""A tenant with an object of each kind, and requests for them over HTTP and gRPC."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill_gateway.domain.access import OPERATOR, SCOPES
from modelmill_gateway.domain.routes import ROUTES, Body, Route
from modelmill_gateway.entrypoints.grpc.middleware import ROUTE_OF
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.waiting import eventually

from gateway_support.api_keys import issued
from gateway_support.estate import OWNER, Estate, furnished
from gateway_support.grpc_client import CALL_SECONDS
from gateway_support.house import House

Status = grpc.StatusCode
GUARDED = [route for route in ROUTES if not route.is_open]


@dataclass
class Scene:
    """A tenant with an object of each kind, and credentials of strangers."""

    house: House
    owner: httpx.AsyncClient
    estate: Estate
    shown: dict[str, str]
    lesser_keys: dict[str, str]
    """By scope, keys of the owner that have every other."""
    elsewhere: str
    """A key of the owner that may do everything, with a model that is not there."""
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

    def attempts(self, scope: str | None) -> dict[str, tuple[str, int]]:
        """What is shown where a scope, or a credential, is needed, and the status that it gets."""
        others = " ".join(each for each in SCOPES if each != scope)
        issuer = self.house.issuer
        ended = {
            "an expired token": (issuer.token(tenant=OWNER, exp=1), 401),
            "an expired key": (self.shown["expired"], 401),
            "a revoked key": (self.shown["revoked"], 401),
        }
        if scope is None:
            return ended
        return ended | {
            "too little scope": (issuer.token(tenant=OWNER, scope=others), 403),
            "a key of too little scope": (self.lesser_keys[scope], 403),
        }


@asynccontextmanager
async def furnished_scene(house: House) -> AsyncIterator[Scene]:
    """The owner's estate, and strangers."""
    owner, stranger = house.http(tenant=OWNER), house.http(tenant="stranger")
    estate = await furnished(house, owner)
    everything = list(SCOPES)
    expired = await issued(owner, scopes=everything, expires_in_seconds=1)
    revoked = await issued(owner, scopes=everything)
    await owner.delete(f"/v1/keys/{revoked['id']}")
    lesser = {
        scope: (await issued(owner, scopes=[each for each in SCOPES if each != scope]))["key"]
        for scope in (*SCOPES, OPERATOR)
    }
    shown = {
        "expired": expired["key"],
        "revoked": revoked["key"],
        "another tenant": house.issuer.token(tenant="stranger"),
        "a key of another tenant": (await issued(stranger, scopes=everything))["key"],
    }
    bearer = {"authorization": f"Bearer {expired['key']}"}

    async def has_expired() -> bool:
        return (await stranger.get("/v1/models", headers=bearer)).status_code == 401

    await eventually(has_expired)
    elsewhere = await issued(owner, scopes=everything, models=["elsewhere"])
    bounded = await issued(stranger, scopes=everything, models=["elsewhere"])
    shown["a bounded key of another tenant"] = bounded["key"]
    made = Scene(house, owner, estate, shown, lesser, elsewhere["key"])
    made.before = await made.found()
    yield made
    await house.clients.aclose()


async def asked(
    scene: Scene, route: Route, token: str | None, body: dict[str, Any] | None = None
) -> httpx.Response:
    """What comes of asking for what the owner has, by the document's example if not by `body`."""
    client = scene.house.http()
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    del client.headers["authorization"]
    content: dict[str, Any] = {}
    if route.body is Body.JSON:
        content = {"json": body or scene.estate.body(route)}
    if route.body is Body.UPLOAD:
        field = "data" if route.path.endswith("/parts") else "file"
        purpose = {} if field == "data" else {"purpose": "fine-tune"}
        content = {"files": {field: ("a.jsonl", b"{}\n")}, "data": purpose}
    return await client.request(route.method, scene.estate.path(route), headers=headers, **content)


def code_of(answer: httpx.Response) -> str | None:
    """Of a refusal."""
    if answer.headers.get("content-type") != "application/json":
        return None
    error = answer.json().get("error") or {}
    return error.get("code") or error.get("type")


def model_named_in(scene: Scene, route: Route) -> list[str]:
    """The owner's models and aliases that stand in a request."""
    request = f"{scene.estate.path(route)} {scene.estate.body(route)}"
    return [each for each in ("mv-own", "private") if f"{each}'" in request]


def request_of(procedure: Any, estate: Estate) -> tuple[Any, bool]:
    """A request for what the owner has, and whether there is anything of the kind in it."""
    request = getattr(pb, procedure.input_type.name)()
    return request, _name_own(request, _own_fields(estate, ROUTE_OF[procedure.name]))


def _own_fields(estate: Estate, route_name: str) -> dict[str, str]:
    path = next(route.path for route in ROUTES if route.name == route_name)
    job = next((estate.ids[k] for k in estate.ids if path.startswith(k) and "{job_id}" in path), "")
    files, datasets = estate.ids["/v1/files/"], estate.ids["/v1/datasets/"]
    name = {"name": estate.ids["/v1/aliases/"]} if route_name == "delete_alias" else {}
    return {
        **name,
        "file_id": files,
        "dataset_id": datasets,
        "other_dataset_id": datasets,
        "upload_id": estate.ids["/v1/uploads/"],
        "job_id": job or estate.ids["/v1/jobs/"],
        "model": "mv-own",
        "version_id": "mv-own",
        "source_version_id": "mv-own",
        "base_version_id": "mv-own",
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
