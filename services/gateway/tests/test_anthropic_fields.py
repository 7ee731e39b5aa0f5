"""Of every field that Anthropic documents it is decided: served, refused by name, or no effect."""

from typing import Any

import httpx
import pytest
from anthropic.types import Message, MessageTokensCount, RawMessageStreamEvent, StopReason
from gateway_support.anthropic_fields import ASKED, COUNT, FIELDS, Body, Fields
from gateway_support.anthropic_kinds import KINDS
from gateway_support.events import told_events
from gateway_support.house import BLOCKED, House
from gateway_support.messages import PATH, TOOL, asking, calls, post
from modelmill_gateway.entrypoints.http.messages import STOP_REASONS
from modelmill_gateway.entrypoints.schemas.messages import StopReason as OurStopReason
from pydantic import BaseModel, TypeAdapter

# The SDK alone takes each worker longer to import than most files take to run.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.tier("test")]


def cases(kind: str) -> list[Any]:
    found = [(thing, name) for thing, it in FIELDS.items() for name in getattr(it, kind)]
    return [pytest.param(*case, id="-".join(case)) for case in found]


async def ask(house: House, fields: Fields, **changes: Any) -> tuple[httpx.Response, list[bytes]]:
    """The answer, and what inference was asked for it."""
    house.inference.reset()
    body = fields.within(fields.least | changes)
    answer = await house.http().post(fields.path, json=body)
    asked: list[Any] = [*house.inference.requests, *house.inference.counted]
    return answer, [each.SerializeToString(deterministic=True) for each in asked]


@pytest.mark.parametrize("thing", FIELDS)
async def test_every_documented_field_is_decided(thing: str):
    assert FIELDS[thing].unknown == set()


@pytest.mark.parametrize(("thing", "name"), cases("served"))
async def test_a_served_field_changes_what_is_asked_or_how_it_is_answered(
    house: House, thing: str, name: str
):
    fields = FIELDS[thing]
    first, asked = await ask(house, fields)
    second, changed = await ask(house, fields, **{name: fields.served[name]})

    assert first.status_code == second.status_code == 200
    kinds = [answer.headers["content-type"] for answer in (first, second)]
    assert asked != changed or kinds[0] != kinds[1]


@pytest.mark.parametrize(("thing", "name"), cases("refused"))
async def test_a_refused_field_is_named_and_nothing_is_asked(house: House, thing: str, name: str):
    fields = FIELDS[thing]
    answer, asked = await ask(house, fields, **{name: fields.refused[name]})

    assert (answer.status_code, asked) == (400, [])
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert name in answer.json()["error"]["message"]


@pytest.mark.parametrize(("thing", "name"), cases("ignored"))
async def test_an_ignored_field_changes_nothing(house: House, thing: str, name: str):
    fields = FIELDS[thing]
    first, asked = await ask(house, fields)
    second, same = await ask(house, fields, **{name: fields.ignored[name]})

    assert first.status_code == second.status_code == 200
    assert asked == same != []
    assert first.json().keys() == second.json().keys()


@pytest.mark.parametrize("thing", FIELDS)
async def test_what_has_only_what_it_must_have_is_answered(house: House, thing: str):
    answer, asked = await ask(house, FIELDS[thing])

    assert (answer.status_code, len(asked)) == (200, 1)


@pytest.mark.parametrize(
    ("place", "kind"), [(place, kind) for place, it in KINDS.items() for kind in sorted(it.all)]
)
async def test_every_documented_kind_is_served_or_refused_by_name(
    house: House, place: str, kind: str
):
    kinds = KINDS[place]
    answer = await house.http().post(PATH, json=kinds.within(_thing(kind)))

    if kind in kinds.served:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 400
        assert (kinds.named or kind) in answer.json()["error"]["message"]
        assert house.inference.requests == []


def _thing(kind: str) -> Body:
    """Of that kind, with what must be there if it is one that is served."""
    whole: dict[str, Body] = {
        "text": {"text": "hello"},
        "tool_use": {"id": "a", "name": "weather", "input": {}},
        "tool_result": {"tool_use_id": "a"},
    }
    return {"type": kind, **whole.get(kind, {})}


async def test_every_kind_that_is_served_is_a_documented_one():
    for kinds in KINDS.values():
        assert kinds.served <= kinds.all


async def test_sampling_that_the_sdk_has_given_up_is_served_still(house: House):
    await post(house, temperature=0.5, top_p=0.5, top_k=3)

    options = house.inference.requests[0].options
    assert (options.temperature, options.top_p, options.top_k) == (0.5, 0.5, 3)


ENDS: dict[str, dict[str, Any]] = {
    "end_turn": {},
    "max_tokens": {"finish_reason": "length"},
    "stop_sequence": {"stop_text": "x"},
    "tool_use": {},
    "refusal": {"pieces": ["my ", BLOCKED, " more"]},
}


@pytest.mark.parametrize("reason", ENDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_every_answer_is_one_by_the_sdks_types(house: House, reason: str, stream: bool):
    for name, value in ENDS[reason].items():
        setattr(house.inference, name, value)
    if reason == "tool_use":
        calls(house, '{"city": "Bern"}', '{"city": "Rome"}')
    answer = await post(house, tools=[TOOL], stream=stream)

    if not stream:
        message = Message.model_validate(answer.json())
        assert message.stop_reason == reason
        assert strange(message) == {"cascade"} & answer.json().keys()
        return
    known: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    told = [it for it in told_events(answer, "MessageEvent") if it["type"] != "ping"]
    events = [known.validate_python(it) for it in told]
    assert [strange(it) for it in events] == [set()] * len(events)
    assert events[-2].delta.stop_reason == reason


def strange(said: BaseModel) -> set[str]:
    """Fields anywhere in it that the SDK does not know."""
    found = set(said.model_extra or ())
    for value in dict(said).values():
        parts = value if isinstance(value, list) else [value]
        found |= {name for part in parts if isinstance(part, BaseModel) for name in strange(part)}
    return found


async def test_no_reason_is_said_that_the_sdk_does_not_know():
    reasons = {*STOP_REASONS.values(), "stop_sequence"}

    assert reasons == set(OurStopReason.__args__) == set(ENDS)
    assert reasons <= set(StopReason.__args__)


async def test_a_count_is_one_by_the_sdks_types(house: House):
    answer = await house.http().post(COUNT, json=ASKED)

    assert strange(MessageTokensCount.model_validate(answer.json())) == set()


async def test_fields_of_a_list_are_refused_where_they_stand(house: House):
    tools = [TOOL, TOOL | {"name": "time", "strict": True, "defer_loading": True}]
    answer = await house.http().post(PATH, json=asking(tools=tools))

    for path in ("tools.1.strict", "tools.1.defer_loading"):
        assert path in answer.json()["error"]["message"]
