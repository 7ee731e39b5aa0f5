"""Of every field that OpenAI documents it is decided: served, refused by name, or no effect."""

from typing import Any, get_type_hints

import httpx
import pytest
from gateway_support.documented_fields import BODIES, OTHERS, TOOL, Fields
from gateway_support.house import House

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN = {"chat": {"tools": [TOOL], "tool_choice": "required"}}
"""Where a field without effect would have one beside something else."""


def cases(kind: str) -> list[Any]:
    found = [(route, name) for route, it in BODIES.items() for name in getattr(it, kind)]
    return [pytest.param(*case, id="-".join(case)) for case in found]


async def least(house: House, fields: Fields) -> dict[str, Any]:
    """A body without anything optional; of jobs with a file that there is."""
    if "training_file" not in fields.least:
        return fields.least
    form = {"files": {"file": ("a.jsonl", b"{}")}, "data": {"purpose": "fine-tune"}}
    stored = await house.http().post("/v1/files", **form)
    return fields.least | {"training_file": stored.json()["id"]}


async def post(house: House, fields: Fields, **changes: Any) -> httpx.Response:
    return await house.http().post(fields.path, json=await least(house, fields) | changes)


@pytest.mark.parametrize("route", BODIES)
async def test_every_documented_field_of_a_body_is_decided(route: str):
    assert BODIES[route].unknown == set()


@pytest.mark.parametrize("name", OTHERS)
async def test_every_documented_field_beside_bodies_is_decided(name: str):
    documented, decided = OTHERS[name]
    assert get_type_hints(documented).keys() == decided


@pytest.mark.parametrize(("route", "name"), cases("served"))
async def test_a_served_field_is_taken(house: House, route: str, name: str):
    fields = BODIES[route]
    changes = {name: fields.served[name]} if name != "training_file" else {}
    beside = {"tools": [TOOL]} if (route, name) == ("chat", "tool_choice") else {}

    assert (await post(house, fields, **changes, **beside)).status_code == 200


@pytest.mark.parametrize(("route", "name"), cases("refused"))
async def test_a_refused_field_is_named(house: House, route: str, name: str):
    fields = BODIES[route]
    answer = await post(house, fields, **{name: fields.refused[name]})

    assert answer.status_code in (400, 422)
    assert any(it.startswith(name) for it in answer.json()["error"]["errors"])


@pytest.mark.parametrize(("route", "name"), cases("ignored"))
async def test_an_ignored_field_changes_nothing(house: House, route: str, name: str):
    fields = BODIES[route]
    beside = WITHIN.get(route, {})
    first = await post(house, fields, **beside)
    second = await post(house, fields, **{name: fields.ignored[name]}, **beside)

    assert first.status_code == second.status_code == 200
    for asked in (house.inference.requests, house.inference.embedded):
        assert asked[:1] == asked[1:]
    assert first.json().keys() == second.json().keys()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
async def test_a_padded_stream_is_refused_and_an_unpadded_one_is_what_comes(
    house: House, path: str
):
    words = {"/v1/chat/completions": "messages", "/v1/completions": "prompt"}
    said: Any = [{"role": "user", "content": "a"}] if "chat" in path else "a"
    body = {"model": "default", words.get(path, "input"): said, "stream": True}
    for requested, status in ((True, 400), (False, 200)):
        options = {"stream_options": {"include_obfuscation": requested}}
        answer = await house.http().post(path, json=body | options)

        assert answer.status_code == status
        assert "obfuscation" in answer.text or status == 200


async def test_one_call_at_most_is_refused_where_there_may_be_several(house: House):
    fields = BODIES["chat"]
    answer = await post(house, fields, tools=[TOOL], parallel_tool_calls=False)

    assert answer.json()["error"]["param"] == "parallel_tool_calls"


async def test_files_are_listed_in_either_order(house: House):
    client = house.http(tenant="sorter")
    for _ in range(3):
        await client.post("/v1/files", files={"file": ("a", b"{}")}, data={"purpose": "batch"})

    async def ids(order: str) -> list[str]:
        answer = await client.get("/v1/files", params={"order": order})
        return [file["id"] for file in answer.json()["data"]]

    assert await ids("asc") == (await ids("desc"))[::-1] != []
    assert (await client.get("/v1/files", params={"order": "size"})).status_code == 400


async def test_evals_are_not_listed_by_a_time_that_is_not_kept(house: House):
    answer = await house.http().get("/v1/evals", params={"order_by": "updated_at"})

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "order_by")
