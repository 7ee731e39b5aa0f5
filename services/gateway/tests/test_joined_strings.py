"""What a rule blocks is blocked also where the strings of one JSON text share it out."""

import json
from typing import Any

import openai
import pytest
from gateway_support.house import BLOCKED, MASKED, House, compiled
from hypothesis import given
from hypothesis import strategies as st
from modelmill_gateway.domain.chat import End, Piece, ToolCall, Usage
from modelmill_gateway.guarding.guarded_json import guarded_call
from modelmill_gateway.guarding.rule_filtered_stream import RuleFilteredStream

pytestmark = pytest.mark.asyncio(loop_scope="module")

END = End("stop", Usage(1, 1))
FIRST, LAST = BLOCKED.split(" ")
SHARED: list[Any] = [
    ["the", FIRST, LAST, "x"],
    {"a": f"the {FIRST}", "b": f"{LAST} x"},
    {"a": {FIRST: LAST}},
    [{"kind": 1, "say": FIRST}, {"kind": 2, "say": [[LAST]]}],
    {"a": ["the", "forbid", f"den {LAST}"]},
    {"n": 1, "a": [f'"{FIRST}\n', 2, None, f"\t{LAST}"]},
]
"""Each has the phrase in its strings, in order."""
PARTS = [{"kind": "one", "say": FIRST}, {"kind": "two", "say": [[LAST]]}]
"""It is in the values of one key, which is seen where the document is whole."""
SIZES = st.lists(st.integers(0, 5), max_size=20)


def shown(text: str, sizes: list[int], *, is_json: bool = False) -> tuple[str, str]:
    answer, out, start = RuleFilteredStream(compiled()[1], is_json=is_json), "", 0
    for size in sizes:
        out += answer.shown(Piece(text[start : start + size])).text
        start += size
    out += answer.shown(Piece(text[start:], END)).text
    assert answer.end is not None
    return out, answer.end.finish_reason


@given(document=st.sampled_from(SHARED), sizes=SIZES, is_json=st.booleans(), indent=st.booleans())
async def test_an_answer_ends_before_the_phrase_however_it_is_shared_out_and_cut(
    document: Any, sizes: list[int], is_json: bool, indent: bool
):
    text = json.dumps(document, indent=2 if indent else None)
    whole = shown(text, [], is_json=is_json)
    assert whole[1] == "content_filter"
    assert text.startswith(whole[0])
    assert "forbid" not in whole[0]
    assert shown(text, sizes, is_json=is_json) == whole


HARMLESS = [
    {"a": "for", "b": LAST, "c": FIRST},
    [MASKED[:3], MASKED[3:]],
    ["the", FIRST, "and a", LAST],
    {"text": 'a "quoted" \\ word', "n": [1, 2.5, True, None], "": {}},
]


@given(document=st.sampled_from(HARMLESS), sizes=SIZES, is_json=st.booleans())
async def test_other_json_leaves_as_it_came(document: Any, sizes: list[int], is_json: bool):
    text = json.dumps(document, ensure_ascii=False)
    assert shown(text, sizes, is_json=is_json) == (text, "stop")


@given(text=st.text(alphabet='[{"\\,:]} forbidenut\n'), sizes=SIZES)
async def test_no_text_that_only_begins_like_json_is_lost(text: str, sizes: list[int]):
    whole = shown(f"[{text}", [])
    assert f"[{text}".startswith(whole[0])
    assert whole[0] == f"[{text}" or whole[1] == "content_filter"
    assert shown(f"[{text}", sizes) == whole


@pytest.mark.parametrize("document", [*SHARED, PARTS])
async def test_a_call_that_shares_it_out_never_leaves(document: Any):
    arguments = document if isinstance(document, dict) else {"it": document}
    passed = guarded_call(ToolCall("a", "say", json.dumps(arguments)), compiled()[1])
    assert passed.call is None
    assert [match.rule_id for match in passed.matches] == ["no-eating"]


async def test_neither_does_one_whose_name_begins_it():
    _, policy = compiled()
    assert guarded_call(ToolCall("a", f"get_{FIRST}", f'{{"of": "{LAST}"}}'), policy).call is None
    call = ToolCall("a", f"get_{LAST}", f'{{"of": "{FIRST}"}}')
    assert guarded_call(call, policy).call == call


async def test_of_a_repeated_key_nothing_leaves_unjudged():
    _, policy = compiled()
    call = ToolCall("a", "say", f'{{"of": "{FIRST} {LAST}", "of": "it"}}')
    passed = guarded_call(call, policy).call
    assert passed is not None
    assert json.loads(passed.arguments) == {"of": "it"}
    assert FIRST not in passed.arguments


async def test_a_question_that_shares_it_out_under_one_key_is_refused(house: House):
    messages: Any = [{"role": "user", "content": f'{{"a": "{FIRST}", "a": "{LAST}"}}'}]
    async with house.openai() as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="default", messages=messages)
    assert refused.value.code == "content_policy_violation"


@pytest.mark.parametrize("document", [*SHARED, PARTS])
@pytest.mark.parametrize("place", ["content", "result", "arguments"])
async def test_a_question_that_shares_it_out_is_refused(house: House, document: Any, place: str):
    text = json.dumps(document)
    call = {"name": "say", "arguments": text if place == "arguments" else "{}"}
    messages = [
        {"role": "user", "content": text if place == "content" else "go on"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "a", "type": "function", "function": call}],
        },
        {"role": "tool", "content": text if place == "result" else "fine", "tool_call_id": "a"},
    ]
    async with house.openai() as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="default", messages=messages)
    assert refused.value.code == "content_policy_violation"
