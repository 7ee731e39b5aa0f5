"""What every call over gRPC passes before a handler sees it: table, token, scope, models.

Deny by default: the handlers are made from the service's descriptor, and a procedure without a row
in the route table stops the process at its start. The request is parsed once the caller is let in.
"""

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_service_kit.errors import (
    DomainError,
    InvalidInputError,
    TooLargeError,
    UnauthenticatedError,
)
from modelmill_service_kit.handler_interceptor import request_reader
from modelmill_service_kit.status import status_of

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.model_names import Named, Reach, names_at
from modelmill_gateway.domain.request_context import (
    RequestContext,
    RequestIds,
    RequestInHand,
    nobodys_id,
)
from modelmill_gateway.domain.routes import ROUTES, Route, is_recorded
from modelmill_gateway.entrypoints.access_log import log_access
from modelmill_gateway.identity.credentials import Credentials
from modelmill_gateway.identity.record_changes import RecordChanges
from modelmill_gateway.identity.require_models import RequireModels

SERVICE = pb.DESCRIPTOR.services_by_name["GatewayService"]

DATASET_FIELDS = (
    *("spec.tokenize.model", "spec.augment.steps.model", "spec.curriculum.loss_model"),
)

OTHER_NAMES = {
    "Chat": "chat",
    "StreamChat": "chat",
    "ListPolicyVersions": "list_policies",
    "DownloadFile": "get_content",
    "CreateUpload": "begin_upload",
    "CreateFineTuningJob": "create_fine_tuning",
    "DownloadReport": "get_report",
    "DownloadEvaluation": "get_evaluation_report",
    "WatchJob": "list_job_events",
    "CreateTenant": "register_tenant",
}
"""Routes of procedures that are not called as they are."""
ROUTE_OF = {
    name: OTHER_NAMES.get(name, re.sub(r"\B([A-Z])", r"_\1", name).lower())
    for name in (method.name for method in SERVICE.methods)
}
"""The HTTP route that does the same; its scope is the procedure's."""

TRAINING_FIELDS = (
    *("spec.base_version_id", "spec.adapter_version_id"),
    *("spec.teacher_version_id", "spec.name"),
)

MODEL_FIELDS = {
    "Chat": ("call.model",),
    "StreamChat": ("call.model",),
    "GetModel": ("model",),
    "DeleteModel": ("version_id",),
    "MoveAlias": ("name", "model", "variants.model", "shadow.model", "fallback"),
    "DeleteAlias": ("name",),
    "CreateDataset": DATASET_FIELDS,
    "PreviewDataset": DATASET_FIELDS,
    "CreateFineTuningJob": TRAINING_FIELDS,
    "EstimateFineTuning": TRAINING_FIELDS,
    "CreateOptimization": ("spec.source_version_id",),
    "EstimateOptimization": ("spec.source_version_id",),
    "CreateEvaluation": ("spec.model", "spec.compare_to"),
    "EstimateEvaluation": ("spec.model", "spec.compare_to"),
    "CancelJob": ("job_id",),
    "PauseJob": ("job_id",),
    "ResumeJob": ("job_id",),
}
"""Where the requests of those procedures whose routes name models, or steer jobs, do the same."""

Handler = (
    Callable[[Any, RequestContext], Awaitable[Any]]
    | Callable[[Any, RequestContext], AsyncGenerator[Any]]
)
Handlers = Mapping[str, Handler]
"""By name of the procedure. A handler is given the request, or the iterator of requests."""

Context = grpc.aio.ServicerContext[Any, Any]

MOST_IN_SPEC = 5_000
"""Entries of all lists of a job's spec; those of a body over HTTP are bounded one by one."""


def build_handlers(
    handlers: Handlers,
    verifier: Credentials,
    require_models: RequireModels,
    request_ids: RequestIds,
    max_bytes: int,
) -> grpc.GenericRpcHandler:
    """gRPC's handlers of the service; each lets in only callers with the scope of the equal route.

    Args:
        max_bytes: of a request that is one message, as of a body over HTTP.

    Raises:
        LookupError: a procedure has no handler or no route, or one of them no procedure, or it is
            not said where it names the models that its route does.
    """
    names = {method.name for method in SERVICE.methods}
    routes = {route.name: route for route in ROUTES}
    strangers = (names ^ handlers.keys()) | (set(ROUTE_OF.values()) - routes.keys())
    if strangers:
        raise LookupError(
            f"procedures, routes and handlers differ: {sorted(strangers)}. Each has a row in"
            " domain/routes.py, and a method of a class in entrypoints/grpc that servers.py lists"
        )
    gated = {}
    for method in SERVICE.methods:
        route = routes[ROUTE_OF[method.name]]
        if bool(route.models.body or route.models.path) != (method.name in MODEL_FIELDS):
            raise LookupError(f"MODEL_FIELDS: {method.name} differs from its route {route.name}")
        middleware = _Middleware(method, verifier, route, require_models, request_ids, max_bytes)
        gated[method.name] = middleware.handler(handlers[method.name])
    return grpc.method_handlers_generic_handler(SERVICE.full_name, gated)


class _Middleware:
    """Wraps the handler of one procedure."""

    def __init__(
        self,
        method: Any,
        verifier: Credentials,
        route: Route,
        require_models: RequireModels,
        request_ids: RequestIds,
        max_bytes: int,
    ) -> None:
        self._method = method
        self._max_bytes = max_bytes
        self._procedure = method.name
        self._verifier = verifier
        self._route = route
        self._require_models = require_models
        self._request_ids = request_ids
        parse = GetMessageClass(method.input_type).FromString
        self._read = request_reader(parse, streaming=method.client_streaming)

    def handler(self, handler: Handler) -> Any:
        """`handler` behind the middleware, as gRPC takes it."""
        shapes = ("unary", "stream")
        method = self._method
        shape = f"{shapes[method.client_streaming]}_{shapes[method.server_streaming]}"
        wrap = self._streaming if method.server_streaming else self._unary
        make = getattr(grpc, f"{shape}_rpc_method_handler")
        return make(wrap(handler), None, GetMessageClass(method.output_type).SerializeToString)

    def _unary(self, handler: Any) -> Callable[[Any, Context], Awaitable[Any]]:
        async def gated(request: Any, context: Context) -> Any:
            with _logged(self._procedure) as line:
                call = await self._admit(context, line)
                with self._holding(call.caller):
                    return await handler(self._allowed(request, call), call)

        return gated

    def _streaming(self, handler: Any) -> Callable[[Any, Context], AsyncIterator[Any]]:
        async def gated(request: Any, context: Context) -> AsyncIterator[Any]:
            with _logged(self._procedure) as line:
                call = await self._admit(context, line)
                with self._holding(call.caller) as held:
                    # Closed when its caller leaves.
                    async with aclosing(handler(self._allowed(request, call), call)) as responses:
                        async for response in responses:
                            if held is None:
                                yield response
                                continue
                            # gRPC's own code has no answer to a cancellation of ours.
                            with held.outside():
                                yield response

        return gated

    def _holding(self, caller: Caller) -> AbstractContextManager[RequestInHand | None]:
        """Within the block the call ends with its key, if it is one of a key."""
        return self._verifier.holding(caller.key_id) if caller.key_id else nullcontext()

    async def _admit(self, context: Context, line: "_Line") -> RequestContext:
        try:
            caller = await self._verifier.verify(_token(context))
            line.tenant = caller.tenant
            line.request_id = self._request_ids.new(caller.tenant)
            self._route.require(caller)
        finally:
            await context.send_initial_metadata((("x-request-id", line.request_id),))
        return RequestContext(caller, line.request_id, context.time_remaining())

    def _allowed(self, request: Any, call: RequestContext) -> Any:
        """The request as it is handled, if the caller may ask for all that it names."""
        if not self._method.client_streaming and len(request) > self._max_bytes:
            raise TooLargeError(f"the request is larger than {self._max_bytes} bytes")
        message = self._read(request)
        if "spec" in self._method.input_type.fields_by_name:
            _require_few(message.spec)
        self._require_models(call.caller, self._route.models, self._named(message))
        return message

    def _named(self, request: Any) -> Named:
        """By the request; one that comes in pieces names no models."""
        fields = MODEL_FIELDS.get(self._procedure, ())
        said = tuple(name for field in fields for name in names_at(request, field))
        if self._route.models.reach is Reach.JOB:
            return Named(other=said[0] if said else "")
        return Named(said)


def _require_few(spec: Any) -> None:
    """Raise InvalidInputError for a spec with so many entries that to check them takes seconds."""
    waiting, seen = [spec], 0
    while waiting:
        for field, value in waiting.pop().ListFields():
            entries = value if field.is_repeated else (value,)
            seen += len(entries)
            if seen > MOST_IN_SPEC:
                raise InvalidInputError(f"spec: has more than {MOST_IN_SPEC} entries")
            waiting += [each for each in entries if hasattr(each, "ListFields")]


@dataclass
class _Line:
    """Who called, as the log will have it."""

    request_id: str
    tenant: str | None = None


@contextmanager
def _logged(procedure: str) -> Iterator[_Line]:
    """One line a call, with nothing of what was said; a bug's traceback has the same id."""
    line = _Line(nobodys_id())
    started = time.perf_counter()
    status = "OK"
    try:
        yield line
    except DomainError as error:
        status = status_of(error).grpc.name
        raise
    except Exception as error:
        status = "INTERNAL"
        error.add_note(f"request {line.request_id}")
        raise
    except BaseException:
        status = "CANCELLED"
        raise
    finally:
        seconds = time.perf_counter() - started
        log_access("gRPC", procedure, status, seconds, line.request_id, line.tenant)


def _token(context: Context) -> str:
    metadata = context.invocation_metadata() or ()
    given = [str(value) for key, value in metadata if key == "authorization"]
    scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthenticatedError("send metadata authorization: Bearer <token>")
    return token


NAMING = ("name", "model")
"""Fields beside those that end in `id` by which a request names what it changes."""


def with_records(handlers: Handlers, changes: RecordChanges) -> Handlers:
    """The handlers; those whose equal routes are recorded record what succeeds."""
    recorded = {route.name for route in ROUTES if is_recorded(route)}
    return {
        name: _recorded(name, handler, changes) if ROUTE_OF[name] in recorded else handler
        for name, handler in handlers.items()
    }


def _recorded(procedure: str, handler: Any, changes: RecordChanges) -> Handler:
    route = ROUTE_OF[procedure]

    async def answer(request: Any, call: RequestContext) -> Any:
        response = await handler(request, call)
        object_id = _named(request) or _named(response)
        changes.record(route, object_id, call.request_id, call.caller)
        return response

    async def stream(request: Any, call: RequestContext) -> AsyncGenerator[Any, None]:
        is_told = False
        async with aclosing(handler(request, call)) as responses:
            async for response in responses:
                if not is_told:
                    changes.record(route, _named(request), call.request_id, call.caller)
                    is_told = True
                yield response

    return stream if SERVICE.methods_by_name[procedure].server_streaming else answer


def _named(message: Any) -> str:
    """The first id that a message or one within it has; empty for what is no message."""
    for field, value in message.ListFields() if hasattr(message, "ListFields") else ():
        named = field.name in NAMING or field.name.endswith("id")
        if named and isinstance(value, str):
            return value
        if hasattr(value, "ListFields") and (found := _named(value)):
            return found
    return ""
