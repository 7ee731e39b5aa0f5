"""The methods of the client, and which routes of the gateway they ask."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from modelmill_client import Modelmill
from modelmill_gateway.domain.routes import match

NO_CALLS = ("url", "close", "openai", "with_options", "request")
FILLED = {"user": "ann", "content": b"{}\n"}
"""What parameters are given that name nothing of the gateway's."""
ANSWER = {"status": "succeeded", "data": [], "next_page": None}


def methods(of: Any, name: str = "") -> Iterator[str]:
    """The names of all calls, for example `files.list`."""
    for attribute, value in inspect.getmembers(of):
        path = f"{name}.{attribute}".removeprefix(".")
        if attribute.startswith("_") or path in NO_CALLS:
            continue
        if inspect.isroutine(value):
            yield path
        else:
            yield from methods(value, path)


def found(of: Any, name: str) -> Any:
    """The method of this name."""
    for part in name.split("."):
        of = getattr(of, part)
    return of


def arguments(method: Callable[..., Any], places: list[str], folder: Path) -> dict[str, Any]:
    """What the method must be given, with `places` for what names things of the gateway."""
    given: dict[str, Any] = {}
    names = iter(places)
    for parameter in inspect.signature(method).parameters.values():
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            name = parameter.name
            filled = FILLED | {"target": folder / "target"}
            given[name] = filled[name] if name in filled else next(names)
    return given


def routes_asked(folder: Path) -> dict[str, str]:
    """The method of each name, and the route that it asks.

    Raises:
        AssertionError: a method asks for what there is no route for, or for nothing.
    """
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.headers["accept"] == "text/event-stream":
            return httpx.Response(204)
        return httpx.Response(200, json=ANSWER)

    routes = {}
    with Modelmill("http://x", "token", transport=httpx.MockTransport(answer)) as client:
        for name in methods(client):
            asked.clear()
            method = found(client, name)
            result = method(**arguments(method, ["1"] * 3, folder))
            if isinstance(result, Iterator):
                list(result)
            assert asked, f"{name} asks for nothing"
            route = match(asked[0].method, asked[0].url.path).route
            assert route is not None, f"{name} asks for {asked[0].method} {asked[0].url.path}"
            routes[name] = route.name
    return routes
