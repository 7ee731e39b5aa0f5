"""Every route and procedure of the tables, against every caller who must not pass.

The callers of another tenant may do everything, in their own tenant, and ask for what is there.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from gateway_support.api_keys import issued
from gateway_support.estate import names_an_object
from gateway_support.grpc_client import CALL_SECONDS
from gateway_support.house import House, run_house
from gateway_support.model_names import (
    FORBIDDEN,
    fields_of_message,
    fields_of_schema,
    is_refused,
    naming,
    put,
    said_of,
)
from gateway_support.scene import (
    GUARDED,
    Scene,
    Status,
    asked,
    called,
    code_of,
    furnished_scene,
    model_named_in,
    request_of,
)
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill_gateway.domain.access import OPERATOR, SCOPES
from modelmill_gateway.domain.model_names import Reach, names_at
from modelmill_gateway.domain.routes import ROUTES, Route
from modelmill_gateway.entrypoints.grpc.middleware import MODEL_FIELDS, ROUTE_OF
from modelmill_service_kit.grpc_client import open_channel

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROCEDURES = list(pb.DESCRIPTOR.services_by_name["GatewayService"].methods)
SCOPE_OF = {route.name: route.scope for route in ROUTES}
MODELS_OF = {route.name: route.models for route in ROUTES}
NOT_ALLOWED = ((403, "model_not_allowed"), (403, "permission_error"))
"""How OpenAI's clients are told, and Anthropic's."""
GRADERS = ("default",)
"""Models that graders of the estate's eval ask."""
FOREIGN = ("another tenant", "a key of another tenant")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house in which webhooks of this machine can be registered."""
    folder = tmp_path_factory.mktemp("house")
    async with run_house(folder, webhook_allow_private=True) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(shared_house: House) -> AsyncIterator[Scene]:
    async with furnished_scene(shared_house) as made:
        yield made


async def test_there_is_something_of_every_kind_that_could_be_reached(scene: Scene):
    assert scene.estate.unmade == []


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
async def test_no_route_answers_who_may_not_pass(scene: Scene, route: Route):
    assert (await asked(scene, route, None)).status_code == 401
    for name, (shown, status) in scene.attempts(route.scope).items():
        answer = await asked(scene, route, shown)
        assert (answer.status_code, scene.estate.mentioned(answer.text)) == (status, []), name


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
async def test_no_route_gives_what_is_another_tenants(scene: Scene, route: Route):
    named = scene.estate.mentioned(str(scene.estate.body(route)))
    for caller in FOREIGN:
        answer = await asked(scene, route, scene.shown[caller])
        if route.scope == OPERATOR:
            assert answer.status_code == 403, f"{caller}: {answer.text}"
        elif names_an_object(route):
            assert answer.status_code == 404, f"{caller}: {answer.text}"
        elif named:
            assert 400 <= answer.status_code < 500, f"{caller}: {answer.text}"
        else:
            # A list, or something new: of the stranger's own, and of nothing else.
            assert answer.status_code < 500, f"{caller}: {answer.text}"
            assert scene.estate.mentioned(answer.text) == [], caller


# Models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
async def test_every_route_refuses_a_key_of_other_models_if_it_has_to_do_with_any(
    scene: Scene, route: Route
):
    if is_refused(route.models):
        body = scene.estate.body(route)
        if route.models.body:
            # Examples do not name all that can be named.
            body = naming(body, route.models.body[0])
        answer = await asked(scene, route, scene.elsewhere, body)
        assert (answer.status_code, code_of(answer)) in NOT_ALLOWED
        return
    assert model_named_in(scene, route) == []
    bounded = await asked(scene, route, scene.shown["a bounded key of another tenant"])
    free = await asked(scene, route, scene.shown["a key of another tenant"])
    assert (bounded.status_code, code_of(bounded)) == (free.status_code, code_of(free))
    if route.models.reach is Reach.LISTS:
        shown = await asked(scene, route, scene.elsewhere)
        assert shown.status_code == 200
        assert shown.json()["data"] == []


NAMING = [(route, field) for route in GUARDED for field in route.models.body]


@pytest.mark.parametrize(("route", "field"), NAMING, ids=lambda each: getattr(each, "name", each))
async def test_each_field_that_names_a_model_is_held_to_the_list_by_itself(
    scene: Scene, route: Route, field: str
):
    body = scene.estate.body(route)
    named = [name for each in route.models.body for name in names_at(body, each)]
    path = scene.estate.path(route).rsplit("/", 1)[-1]
    key = await issued(scene.owner, scopes=[*SCOPES], models=[*{*named, path, *GRADERS}])
    answer = await asked(scene, route, key["key"], naming(body, field))
    assert (answer.status_code, code_of(answer)) in NOT_ALLOWED
    assert FORBIDDEN in answer.text
    await scene.owner.delete(f"/v1/keys/{key['id']}")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_the_table_names_every_field_of_a_body_that_names_a_model(route: Route):
    assert set(route.models.body) == fields_of_schema(route)


async def test_after_all_that_the_owner_has_everything_as_it_was(scene: Scene):
    """Runs behind the others: what strangers deleted or changed would be missing here."""
    found = await scene.found()

    assert found == scene.before
    assert 200 in found.values()


# gRPC ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
async def test_no_procedure_answers_who_may_not_pass(scene: Scene, procedure: Any):
    scope = SCOPE_OF[ROUTE_OF[procedure.name]]
    assert (await called(scene, procedure, None))[0] is Status.UNAUTHENTICATED
    statuses = {401: Status.UNAUTHENTICATED, 403: Status.PERMISSION_DENIED}
    for name, (shown, status) in scene.attempts(scope).items():
        code, said = await called(scene, procedure, shown)
        assert (code, scene.estate.mentioned(said)) == (statuses[status], []), name


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
async def test_no_procedure_gives_what_is_another_tenants(scene: Scene, procedure: Any):
    _, named = request_of(procedure, scene.estate)
    for caller in FOREIGN:
        code, said = await called(scene, procedure, scene.shown[caller])
        if SCOPE_OF[ROUTE_OF[procedure.name]] == OPERATOR:
            assert code is Status.PERMISSION_DENIED, f"{caller}: {code} {said}"
        elif named:
            assert code in (Status.NOT_FOUND, Status.INVALID_ARGUMENT), f"{caller}: {code} {said}"
        else:
            assert code in (Status.OK, Status.INVALID_ARGUMENT), f"{caller}: {code} {said}"
            assert scene.estate.mentioned(said) == [], caller


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
async def test_every_procedure_refuses_a_key_of_other_models_if_it_has_to_do_with_any(
    scene: Scene, procedure: Any
):
    models = MODELS_OF[ROUTE_OF[procedure.name]]
    if is_refused(models):
        code, said = await called(scene, procedure, scene.elsewhere)
        assert (code, "key" in said) == (Status.PERMISSION_DENIED, True), said
        return
    bounded, free = [
        await called(scene, procedure, scene.shown[caller])
        for caller in ("a bounded key of another tenant", "a key of another tenant")
    ]
    assert bounded[0] == free[0]
    if models.reach is Reach.LISTS:
        code, said = await called(scene, procedure, scene.elsewhere)
        assert (code, scene.estate.mentioned(said)) == (Status.OK, [])


FIELDS = [(each, field) for each in PROCEDURES for field in MODEL_FIELDS.get(each.name, ())]


@pytest.mark.parametrize(
    ("procedure", "field"), FIELDS, ids=lambda each: getattr(each, "name", each)
)
async def test_each_field_of_a_message_that_names_a_model_is_held_to_the_list_by_itself(
    scene: Scene, procedure: Any, field: str
):
    request = getattr(pb, procedure.input_type.name)()
    put(request, field)
    async with open_channel(scene.house.grpc_address, scene.elsewhere) as channel:
        call = getattr(GatewayServiceStub(channel), procedure.name)(request, timeout=CALL_SECONDS)
        if MODELS_OF[ROUTE_OF[procedure.name]].reach is Reach.JOB:
            assert await call.code() is Status.NOT_FOUND
            return
        assert await call.code() is Status.PERMISSION_DENIED
        assert FORBIDDEN in (await call.details() or "")


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
async def test_the_table_names_every_field_of_a_message_that_names_a_model(procedure: Any):
    assert set(fields_of_message(procedure.input_type)) <= said_of(procedure.name)
