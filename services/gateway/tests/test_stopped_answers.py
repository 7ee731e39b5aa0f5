"""An answer that the policy ended says by which rules, wherever texts are generated."""

from typing import Any

import pytest
from gateway_support.house import BLOCKED, FLAGGED, House
from gateway_support.verdicts import FINE, streamed, told, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_stream_that_the_policy_ends_says_why_before_its_end(house: House):
    house.inference.pieces = [f"a {FLAGGED}, the {BLOCKED}"]
    *_, why, end = await streamed(house)

    # Clients that know of no such chunk read the first choice of each.
    assert why.choices[0].delta.content is None
    assert told(why.moderation) == ([FINE], [(True, True, ["note-locks", "no-eating"])])
    assert end.choices[0].finish_reason == "content_filter"


async def test_a_whole_answer_that_the_policy_ended_says_why(house: House):
    house.inference.pieces = [f"the {BLOCKED}"]
    answer = await whole(house, f"my {FLAGGED}")

    assert told(answer.moderation) == (
        [(True, False, ["note-locks"])],
        [(True, True, ["no-eating"])],
    )
    assert BLOCKED not in answer.model_dump_json()


async def test_of_several_answers_each_has_its_verdict(house: House):
    house.inference.answers = {0: [f"the {BLOCKED}"], 1: ["Hello"], 2: [f"a {FLAGGED}"]}
    outputs = [(True, True, ["no-eating"]), FINE, (True, False, ["note-locks"])]

    assert told((await whole(house, n=3)).moderation) == ([FINE], outputs)
    chunks = await streamed(house, n=3)
    assert told(chunks[-2].moderation) == ([FINE], outputs)
    assert [chunk.moderation for chunk in chunks[:-2]] == [None] * (len(chunks) - 2)


async def test_continued_texts_that_the_policy_ended_say_why(house: House):
    house.inference.answers = {0: [f"the {BLOCKED}"], 1: ["Hello"]}
    outputs = [(True, True, ["no-eating"]), FINE]
    asked = {"model": "default", "prompt": [f"a {FLAGGED}", "hello"], "n": 2}
    client = house.openai()
    answer = await client.completions.create(**asked)
    chunks = [chunk async for chunk in await client.completions.create(**asked, stream=True)]

    def said(moderation: Any) -> tuple[Any, ...]:
        sides = (moderation["input"]["results"], moderation["output"]["results"])
        return tuple(
            [(it["flagged"], it["blocked"], [rule["id"] for rule in it["rules"]]) for it in side]
            for side in sides
        )

    flagged = (True, False, ["note-locks"])
    assert said(answer.model_extra["moderation"]) == ([flagged, FINE], outputs * 2)
    told_of = [chunk for chunk in chunks if "moderation" in chunk.model_extra]
    assert [said(chunk.model_extra["moderation"]) for chunk in told_of] == [
        ([flagged], outputs),
        ([FINE], outputs),
    ]
    assert [chunk.choices[0].text for chunk in told_of] == ["", ""]
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_a_generated_text_that_the_policy_ended_says_why(house: House):
    house.inference.pieces = [f"the {BLOCKED}"]
    stopped = (await house.http().post("/generate", json={"prompt": "hello"})).json()
    house.inference.pieces = [f"the {FLAGGED}"]
    fine = (await house.http().post("/generate", json={"prompt": "hello"})).json()

    (result,) = stopped["moderation"]["output"]["results"]
    assert (stopped["text"], result["rules"][0]["id"]) == ("the ", "no-eating")
    assert fine == {"text": f"the {FLAGGED}"}
