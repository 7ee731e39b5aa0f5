"""What no route does, whatever is sent to it and whatever its neighbours say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.document import body_example
from gateway_support.house import BLOCKED, House
from modelmill_gateway.domain.access import OPERATOR, SCOPES
from modelmill_gateway.domain.routes import ROUTES, Body, Route

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"content-type": "application/json"}
SECRET = "/srv/modelmill/private.py line 7: password hunter2"
PEERS = ("inference", "moderation", "data_prep", "trainer", "optimizer_builder")
EVERY_SCOPE = " ".join([*SCOPES, OPERATOR])
TAKES_JSON = [route for route in ROUTES if route.body is Body.JSON]


def path_of(route: Route) -> str:
    return route.path.replace("{", "").replace("}", "").replace("line", "1")


@pytest.mark.parametrize("route", TAKES_JSON, ids=lambda route: route.name)
async def test_a_body_nested_too_deeply_is_refused_as_no_json(house: House, route: Route):
    async with house.http(scope=EVERY_SCOPE) as client:
        for body in (b"[" * 100_000, b'{"a":' * 50_000, b'{"messages":' + b"[" * 300 + b"]" * 300):
            answer = await client.request(route.method, path_of(route), content=body, headers=JSON)
            error = answer.json()["error"]
            assert answer.status_code == 400, error
            assert "JSON" in error["message"], error


async def test_of_a_name_that_comes_twice_the_last_is_judged_and_answered(house: House):
    house.inference.pieces = ["fine"]
    first, last = (f'"messages": [{{"role": "user", "content": "{text}"}}]' for text in ("a", "b"))
    blocked = f'"messages": [{{"role": "user", "content": "{BLOCKED}"}}]'
    async with house.http() as client:
        for fields, status in (
            ((first, last), 200),
            ((blocked, last), 200),
            ((last, blocked), 400),
        ):
            body = f'{{"model": "default", {", ".join(fields)}}}'.encode()
            answer = await client.post("/v1/chat/completions", content=body, headers=JSON)
            assert answer.status_code == status
    asked = house.inference.requests[-1].conversation.messages
    assert [message.content for message in asked] == ["b"]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_no_page_of_another_origin_is_let_in(house: House, route: Route):
    asks = {"origin": "https://evil.test", "access-control-request-method": route.method}
    async with house.http() as client:
        answer = await client.options(path_of(route), headers=asks)
        assert answer.status_code == 405
        read = await client.get(path_of(route), headers=asks)
    for each in (answer, read):
        assert not [name for name in each.headers if name.startswith("access-control")]


@asynccontextmanager
async def babbling(code: grpc.StatusCode) -> AsyncIterator[str]:
    """The address of a neighbour that fails every call, and says too much."""

    async def fail(_requests: Any, context: Any) -> AsyncIterator[bytes]:
        await context.abort(code, SECRET)
        yield b""

    class Everything(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.stream_stream_rpc_method_handler(fail)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Everything(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "UNAVAILABLE", "DATA_LOSS"])
async def test_no_route_passes_on_what_a_broken_neighbour_says_of_itself(house: House, code: str):
    async with babbling(grpc.StatusCode[code]) as address:
        everywhere = {f"{peer}_address": address for peer in PEERS}
        async with another_gateway(house, **everywhere) as other, other.house.http() as client:
            failed = 0
            for route in ROUTES:
                example = body_example(route.name)
                content: dict[str, Any] = {"json": example} if example is not None else {}
                if route.body is Body.UPLOAD:
                    field = "data" if route.name == "add_upload_part" else "file"
                    content = {"files": {field: b"{}"}, "data": {"purpose": "fine-tune"}}
                answer = await client.request(route.method, path_of(route), **content)
                failed += answer.status_code >= 500
                said = answer.text + str(answer.headers)
                for secret in (SECRET, "hunter2", "/srv", address, "Traceback", "grpc"):
                    assert secret not in said or route.name == "asyncapi", route.name
                if answer.status_code >= 400:
                    assert answer.json()["error"] | {"request_id": "x"}, route.name
            assert failed > 5
