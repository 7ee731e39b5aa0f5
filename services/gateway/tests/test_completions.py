"""OpenAI's older route: text that is continued as it is, behind the same rules as chat."""

import json

import httpx
import pytest
from gateway_support.house import BLOCKED, BUILD, MASKED, House
from gateway_support.peers import prompt_too_long
from gateway_support.usage import all_usage
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


def ask(**changes: object) -> dict[str, object]:
    return {"model": "default", "prompt": "once"} | changes


async def post(house: House, **changes: object) -> httpx.Response:
    async with house.http() as client:
        return await client.post("/v1/completions", json=ask(**changes))


def events_of(answer: httpx.Response) -> list[str]:
    return [line.removeprefix("data: ") for line in answer.text.strip().split("\n\n")]


async def test_a_prompt_goes_in_as_it_is_and_is_continued(house: House):
    answer = await house.openai().completions.create(
        model="default", prompt="once", temperature=0, stop="\n", seed=3
    )

    assert (answer.object, answer.choices[0].text) == ("text_completion", "Hello, world")
    assert (answer.choices[0].finish_reason, answer.usage.total_tokens) == ("stop", 10)
    assert answer.system_fingerprint == BUILD
    request = house.inference.requests[0]
    assert (request.text, request.options.max_new_tokens) == ("once", 16)
    assert (request.options.stop, request.options.seed) == (["\n"], 3)


async def test_every_prompt_of_a_list_has_its_answer_and_all_of_them_one_usage(house: House):
    answer = await house.openai(tenant="many").completions.create(
        model="default", prompt=["a", "b", "c"], max_tokens=4
    )

    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {request.text for request in house.inference.requests} == {"a", "b", "c"}
    assert answer.usage.total_tokens == 30

    async def all_recorded() -> list[str]:
        ids = sorted(each.request_id for each in await all_usage(house.bus, "many"))
        return ids if len(ids) == 3 else []

    first, second, third = await eventually(all_recorded)
    assert (second, third) == (f"{first}-1", f"{first}-2")


async def test_a_stream_gives_each_answer_to_its_end_then_the_usage_of_all(house: House):
    stream = await house.openai().completions.create(
        model="default",
        prompt=["a", "b"],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]

    said = [(c.choices[0].index, c.choices[0].text) for c in chunks[:-1]]
    assert said == [(n, text) for n in (0, 1) for text in ("Hello", ", ", "world", "")]
    ends = [c.choices[0].finish_reason for c in chunks[:-1] if c.choices[0].finish_reason]
    assert ends == ["stop", "stop"]
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 20)
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_an_echoed_prompt_and_its_answer_are_guarded_as_one_text(house: House, stream: bool):
    start, rest = BLOCKED.split(" ")
    house.inference.pieces = [" ", *rest, " is"]
    answer = await post(house, prompt=f"a {start}", echo=True, stream=stream)

    assert "a " in answer.text
    assert "content_filter" in answer.text
    assert start not in answer.text
    assert rest not in answer.text


async def test_a_masked_prompt_is_echoed_as_masked(house: House):
    answer = await post(house, prompt=f"my {MASKED}", echo=True)

    assert answer.json()["choices"][0]["text"] == "my *****Hello, world"


async def test_one_blocked_prompt_refuses_the_whole_request(house: House):
    answer = await post(house, prompt=["fine", BLOCKED, "fine too"])

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "content_policy_violation"
    assert answer.json()["error"]["param"] == "prompt"
    await eventually(lambda: house.inference.in_flight == 0)


async def test_a_prompt_that_is_too_long_is_named_as_the_prompt(house: House):
    house.inference.fail_before = prompt_too_long()
    error = (await post(house)).json()["error"]

    assert (error["code"], error["param"]) == ("context_length_exceeded", "prompt")


async def test_what_goes_wrong_behind_the_first_byte_is_the_last_event(house: House):
    house.inference.fail_after = UnavailableError("the engine is restarting")
    events = events_of(await post(house, stream=True))

    assert json.loads(events[-1])["error"]["code"] == "unavailable"
    assert "[DONE]" not in events


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ""}, "prompt.0"),
        ({"prompt": [1, 2]}, "prompt.0"),
        ({"prompt": ["a"] * 17}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"echo": "yes"}, "echo"),
        ({"n": 17}, "n"),
        ({"n": 6, "prompt": ["a", "b", "c"]}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": 0, "echo": True}, "logprobs"),
        ({"suffix": "end"}, "suffix"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
)
async def test_a_wrong_field_is_named(house: House, change: dict[str, object], param: str):
    answer = await post(house, **change)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert house.inference.requests == []
