"""Every route of the gateway's document has a call here, and each is answered by a gateway."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_support.methods import arguments, found, routes_asked
from gateway_support.estate import NOBODY, OWNER, Estate, furnished
from gateway_support.house import House
from modelmill_client import ModelmillError
from modelmill_gateway.domain.access import OPERATOR
from modelmill_gateway.domain.routes import ROUTES, match

sys.path.append(str(Path(__file__).parents[1] / "tools"))

from generate import is_of_client

Connect = Callable[..., Any]
REFUSED = {
    "datasets.report": "with no JSON",
    **dict.fromkeys(("datasets.compare", "datasets.unshared_rows"), "was named twice"),
    "evaluations.report": "no finished evaluation",
    "evaluations.rows": "no finished evaluation",
    "evaluations.download_report": "no finished evaluation",
    "optimizations.candidates": "no search that has ended",
    "uploads.complete": "no part 'part_c81f'",
    "batches.cancel": "has succeeded",
    "datasets.delete": "is in use by",
    "files.delete": "is in use by",
    # By the other half, at the same gateway.
    **dict.fromkeys(("tenants.suspend", "tenants.resume"), "was deleted"),
    "tenants.create": "there is a tenant 'acme-labs' already",
    "alerts.list": "is told of no Prometheus",
    "models.delete": "no model 'mv-own'",
    "logs.retrieve": "no logged request 'nobody'",
    "experiments.create": "the alias private has the experiment",
}
"""What the faked peers of the gateway refuse, or have not made; the call came to them."""
BY_NAME = {route.name: route for route in ROUTES}


def test_every_route_has_a_call_but_those_of_other_sdks(tmp_path: Path):
    wanted = {route.name for route in ROUTES if is_of_client(route.path)}
    assert set(routes_asked(tmp_path).values()) == wanted


@pytest.mark.asyncio(loop_scope="module")
async def test_every_call_is_answered_by_a_running_gateway(
    connect: Connect, house: House, half: str, tmp_path: Path
):
    estate = await furnished(house, house.http(tenant=OWNER))
    client = connect(tenant=OWNER)
    operator = connect(tenant="operators", scope=OPERATOR)
    await house.http(tenant="operators", scope=OPERATOR).post("/v1/tenants", json={"name": NOBODY})
    refused = {}
    calls = routes_asked(tmp_path)
    # What is deleted, cancelled or revoked cannot be asked for afterwards.
    for name in sorted(calls, key=lambda it: it.endswith(("delete", "cancel"))):
        if not name.endswith((".wait", ".follow")):
            try:
                asking = operator if BY_NAME[calls[name]].scope == OPERATOR else client
                await called(asking, name, calls[name], estate, tmp_path)
            except ModelmillError as error:
                refused[name] = str(error)
    unexpected = {name: it for name, it in refused.items() if REFUSED.get(name, "\0") not in it}
    assert unexpected == {}


async def called(client: Any, name: str, route: str, estate: Estate, folder: Path) -> None:
    """Make the call with things that the owner has and the document's example."""
    method, row = found(client, name), BY_NAME[route]
    places = [*match(row.method, estate.path(row)).places.values()]
    given = arguments(method, places, folder) | (estate.body(row) or {})
    if "start_time" in given:
        given["start_time"] = int(time.time()) - 3600
    result = method(**given)
    if hasattr(result, "__await__"):
        await result
    else:
        _ = [each async for each in result]
