"""What every call over gRPC passes: one row of the route table, a token, a scope."""

import logging
import re
from contextlib import AbstractContextManager
from typing import Any

import grpc
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import House
from grpc_health.v1 import health_pb2, health_pb2_grpc
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec, DuplicateSpec, EntitySpec
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec, EvaluationTask, Protection
from modelmill_gateway.domain.access import SCOPES, Caller
from modelmill_gateway.domain.model_names import ModelNames, Named
from modelmill_gateway.domain.request_context import RequestContext, RequestIds, RequestInHand
from modelmill_gateway.domain.routes import ROUTES
from modelmill_gateway.entrypoints.grpc.middleware import ROUTE_OF, build_handlers
from modelmill_service_kit.grpc_client import open_channel
from modelmill_service_kit.grpc_server import RpcServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

Status = grpc.StatusCode
PROCEDURES = list(pb.DESCRIPTOR.services_by_name["GatewayService"].methods)
SCOPE_OF = {
    "GetMe": None,
    "Chat": "chat",
    "StreamChat": "chat",
    "ListModels": "models:read",
    "GetModel": "models:read",
    "DeleteModel": "models:write",
    "MoveAlias": "models:write",
    "DeleteAlias": "models:write",
    "PutPolicy": "moderation",
    "GetPolicy": "moderation",
    "ListPolicyVersions": "moderation",
    "RevertPolicy": "moderation",
    "RecordFeedback": "chat",
    "UploadFile": "files",
    "ListFiles": "files",
    "GetFile": "files",
    "DownloadFile": "files",
    "DeleteFile": "files",
    "CreateUpload": "files",
    "AddUploadPart": "files",
    "CompleteUpload": "files",
    "CancelUpload": "files",
    "CreateDataset": "datasets",
    "PreviewDataset": "datasets",
    "ListDatasets": "datasets",
    "GetDataset": "datasets",
    "DeleteDataset": "datasets",
    "ExplainRow": "datasets",
    "DiffDatasets": "datasets",
    "DownloadReport": "datasets",
    "CreateFineTuningJob": "jobs",
    **dict.fromkeys(("EstimateFineTuning", "EstimateOptimization", "EstimateEvaluation"), "jobs"),
    "CreateOptimization": "jobs",
    "CreateEvaluation": "jobs",
    "DownloadEvaluation": "jobs",
    "ListEvaluationRows": "jobs",
    "ListJobs": "jobs",
    "GetJob": "jobs",
    "GetJobMetrics": "jobs",
    "CancelJob": "jobs",
    "PauseJob": "jobs",
    "ResumeJob": "jobs",
    "WatchJob": "jobs",
    **dict.fromkeys(("CreateTenant", "ListTenants", "GetTenant", "LimitTenant"), "operator"),
    **dict.fromkeys(("SuspendTenant", "ResumeTenant", "DeleteTenant", "ExportTenant"), "operator"),
    "GetStatus": "operator",
    "ListFindings": "operator",
    "ListAlerts": "operator",
}


async def answer_to(channel: grpc.aio.Channel, procedure: Any) -> tuple[grpc.StatusCode, str]:
    """Status and words that an empty request gets."""
    stub = GatewayServiceStub(channel)
    empty = getattr(pb, procedure.input_type.name)()
    given = iter([empty]) if procedure.client_streaming else empty
    call = getattr(stub, procedure.name)(given, timeout=CALL_SECONDS)
    return await call.code(), await call.details() or ""


async def test_every_procedure_has_the_scope_of_the_route_that_does_the_same():
    assert {procedure.name for procedure in PROCEDURES} == SCOPE_OF.keys()
    scopes = {route.name: route.scope for route in ROUTES}
    assert {name: scopes[route] for name, route in ROUTE_OF.items()} == SCOPE_OF


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
async def test_nothing_is_done_without_a_token_that_grants_it(house: House, procedure: Any):
    scope = SCOPE_OF[procedure.name]
    others = " ".join(each for each in SCOPES if each != scope)
    async with grpc.aio.insecure_channel(house.grpc_address) as nobody:
        assert (await answer_to(nobody, procedure))[0] is Status.UNAUTHENTICATED
    async with open_channel(house.grpc_address, house.issuer.token(exp=1)) as channel:
        assert (await answer_to(channel, procedure))[0] is Status.UNAUTHENTICATED
    async with open_channel(house.grpc_address, house.issuer.token(scope=others)) as channel:
        status, said = await answer_to(channel, procedure)
    assert (status is Status.PERMISSION_DENIED) == (scope is not None)
    assert (f"the scope {scope}" in said) == (scope is not None)

    async with open_channel(house.grpc_address, house.issuer.token(scope=scope or "")) as channel:
        status, _ = await answer_to(channel, procedure)
    # This house is told of no Prometheus.
    let_in = (Status.OK, Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.FAILED_PRECONDITION)
    assert status in let_in


async def answer_to_bytes(channel: grpc.aio.Channel, procedure: Any) -> grpc.StatusCode:
    """Status that bytes get which are no message."""
    shape = "_".join(
        "stream" if streams else "unary"
        for streams in (procedure.client_streaming, procedure.server_streaming)
    )
    method = f"/{procedure.containing_service.full_name}/{procedure.name}"
    given = iter([b"\xff\xff\xff"]) if procedure.client_streaming else b"\xff\xff\xff"
    return await getattr(channel, shape)(method)(given, timeout=CALL_SECONDS).code()


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
async def test_a_request_is_parsed_only_for_whom_is_let_in(
    house: House, procedure: Any, caplog: pytest.LogCaptureFixture
):
    scope = SCOPE_OF[procedure.name]
    others = " ".join(each for each in SCOPES if each != scope)
    async with grpc.aio.insecure_channel(house.grpc_address) as nobody:
        assert await answer_to_bytes(nobody, procedure) is Status.UNAUTHENTICATED
    denied = Status.PERMISSION_DENIED if scope is not None else Status.INVALID_ARGUMENT
    for granted, expected in ((others, denied), (scope or "", Status.INVALID_ARGUMENT)):
        async with open_channel(house.grpc_address, house.issuer.token(scope=granted)) as channel:
            assert await answer_to_bytes(channel, procedure) is expected
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "metadata",
    [
        (("authorization", "{token}"),),
        (("authorization", "Basic {token}"),),
        (("authorization", "Bearer {token}"), ("authorization", "Bearer {token}")),
    ],
)
async def test_a_token_comes_once_and_as_a_bearer(house: House, metadata: Any):
    token = house.issuer.token()
    given = tuple((key, value.format(token=token)) for key, value in metadata)
    async with grpc.aio.insecure_channel(house.grpc_address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await GatewayServiceStub(channel).ListModels(pb.ListModelsRequest(), metadata=given)
    assert refusal.value.code() is Status.UNAUTHENTICATED


async def test_every_answer_and_refusal_carries_a_request_id_of_its_own(house: House):
    seen = []
    for scope in ("models:read", "chat"):
        async with grpc_stub(house, scope=scope) as stub:
            call = stub.ListModels(pb.ListModelsRequest(), timeout=CALL_SECONDS)
            seen.append(dict(await call.initial_metadata())["x-request-id"])
            await call.code()
    assert all(re.fullmatch("req-[0-9a-f]{32}", request_id) for request_id in seen)
    assert len(set(seen)) == 2


async def test_each_call_leaves_one_line_with_nothing_of_what_was_said(
    house: House, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "gateway.access")
    seen = []
    for claims, model in (({}, "default"), ({}, "secret"), ({"scope": "chat"}, "default")):
        async with grpc_stub(house, **claims) as stub:
            call = stub.GetModel(pb.GetModelRequest(model=model), timeout=CALL_SECONDS)
            seen.append(dict(await call.initial_metadata())["x-request-id"])
            await call.code()

    lines = [record.fields for record in caplog.records if record.name == "gateway.access"]
    assert [(line["route"], line["status"], line["tenant"]) for line in lines] == [
        ("GetModel", "OK", "acme"),
        ("GetModel", "NOT_FOUND", "acme"),
        ("GetModel", "PERMISSION_DENIED", "acme"),
    ]
    assert [line["request_id"] for line in lines] == seen
    assert "secret" not in caplog.text


class Everybody:
    """Lets everybody do everything."""

    async def verify(self, token: str) -> Caller:
        return Caller("acme", "ada", frozenset(SCOPES))

    def holding(self, key_id: str) -> AbstractContextManager[RequestInHand]:
        raise AssertionError("nobody has a key")


def any_model(caller: Caller, models: ModelNames, named: Named) -> None:
    """Lets everybody ask for every model."""


async def test_a_bug_is_logged_under_the_id_that_its_caller_was_given(
    caplog: pytest.LogCaptureFixture,
):
    async def broken(request: Any, call: RequestContext) -> Any:
        raise RuntimeError("a secret of ours")

    server = RpcServer("127.0.0.1:0", None, drain_seconds=0)
    answering = {procedure.name: broken for procedure in PROCEDURES}
    handlers = build_handlers(answering, Everybody(), any_model, RequestIds("secret"), 1024)
    server.grpc.add_generic_rpc_handlers((handlers,))
    async with server, open_channel(f"127.0.0.1:{server.port}", "any") as channel:
        asked = pb.ListModelsRequest()
        call = GatewayServiceStub(channel).ListModels(asked, timeout=CALL_SECONDS)
        request_id = dict(await call.initial_metadata())["x-request-id"]
        assert await call.code() is Status.INTERNAL
        assert "secret" not in (await call.details() or "")
    assert f"request {request_id}" in caplog.text


async def test_a_procedure_that_nobody_handles_stops_the_start():
    with pytest.raises(LookupError, match="Chat"):
        build_handlers({}, Everybody(), any_model, RequestIds("secret"), 1024)


async def test_a_request_is_no_larger_than_a_body_over_http(house: House):
    name = "a" * 1024 * 1024
    async with grpc_stub(house, scope="models:read models:write") as stub:
        for call in (
            stub.GetModel(pb.GetModelRequest(model=name), timeout=CALL_SECONDS),
            stub.MoveAlias(pb.MoveAliasRequest(name="a", fallback=["b"] * 400_000)),
        ):
            assert await call.code() is Status.RESOURCE_EXHAUSTED
            assert "larger than 1048576 bytes" in (await call.details() or "")


SPECS = {
    "ids of files": (
        "CreateDataset",
        DatasetSpec(duplicates=DuplicateSpec(evaluation_file_ids=["f"] * 5_001)),
    ),
    "names by name": (
        "PreviewDataset",
        DatasetSpec(entities=EntitySpec(actions={f"{each:x}": "mask" for each in range(5_001)})),
    ),
    "empty messages": (
        "EstimateEvaluation",
        EvaluationSpec(model="default", protections=[Protection()] * 5_001),
    ),
    "lists within lists": (
        "CreateEvaluation",
        EvaluationSpec(model="default", tasks=[EvaluationTask(data_file_ids=["f"] * 1_000)] * 5),
    ),
}


@pytest.mark.parametrize(("procedure", "spec"), SPECS.values(), ids=SPECS)
async def test_a_spec_with_more_entries_than_can_be_checked_at_once_goes_no_further(
    house: House, procedure: str, spec: Any
):
    request = getattr(pb, f"{procedure}Request")(spec=spec)
    async with grpc_stub(house) as stub:
        call = getattr(stub, procedure)(request, timeout=CALL_SECONDS)
        assert await call.code() is Status.INVALID_ARGUMENT
        assert "more than 5000 entries" in (await call.details() or "")


async def test_health_is_open(house: House):
    async with grpc.aio.insecure_channel(house.grpc_address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_what_is_offered_is_not_told(house: House, version: str):
    method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    async with open_channel(house.grpc_address, house.issuer.token()) as channel:
        call = channel.stream_stream(method)(iter([b""]), timeout=CALL_SECONDS)
        assert await call.code() is Status.UNIMPLEMENTED
