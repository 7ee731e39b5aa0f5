"""Moderations in OpenAI's shape, by the policy that judges what goes into a chat."""

import httpx
import openai
import pytest
from gateway_support.house import BLOCKED, MASKED, House
from modelmill_service_kit.errors import UnavailableError

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def post(house: House, body: object) -> httpx.Response:
    async with house.http() as client:
        return await client.post("/v1/moderations", json=body)


async def test_each_text_has_a_result_with_all_of_openais_categories(house: House):
    answer = await house.openai().moderations.create(
        input=["hello", f"eat the {BLOCKED}"], model="omni-moderation-latest"
    )
    fine, blocked = answer.results

    assert answer.id.startswith("modr-")
    assert answer.model.startswith("sha256:")
    assert (fine.flagged, fine.categories.illicit, fine.category_scores.illicit) == (
        False,
        False,
        0,
    )
    assert blocked.flagged
    assert (blocked.categories.illicit, blocked.category_scores.illicit) == (True, 1.0)
    assert not blocked.categories.self_harm_intent
    assert blocked.category_applied_input_types.illicit == ["text"]


async def test_the_answer_names_policy_and_request(house: House):
    answer = await post(house, {"input": "hello"})

    assert answer.headers["x-policy-digest"] == answer.json()["model"]
    assert answer.headers["x-request-id"].startswith("req-")


async def test_what_is_only_masked_is_flagged_under_the_policys_own_category(house: House):
    result = (await post(house, {"input": f"my {MASKED}"})).json()["results"][0]

    assert (result["flagged"], result["blocked"]) == (True, False)
    assert (result["categories"]["pii"], result["category_scores"]["pii"]) == (True, 1.0)
    assert result["rules"] == [{"id": "no-number", "category": "pii"}]


async def test_the_first_place_of_each_rule_that_matched_is_told(house: House):
    text = f"𝒳 my {MASKED} and {MASKED}"
    result = (await post(house, {"input": text})).json()["results"][0]

    start = text.index(MASKED)
    place = {"start": start, "end": start + len(MASKED)}
    assert result["matches"] == [{"id": "no-number", "category": "pii", "action": "mask", **place}]
    assert (await post(house, {"input": "hello"})).json()["results"][0]["matches"] == []


async def test_parts_of_text_are_one_input(house: House):
    parts = [{"type": "text", "text": "hello"}, {"type": "text", "text": BLOCKED}]
    results = (await post(house, {"input": parts})).json()["results"]

    assert [result["flagged"] for result in results] == [True]


@pytest.mark.parametrize(
    "given",
    [None, [], 7, [7], ["a"] * 65, [{"type": "image_url", "image_url": {"url": "x"}}]],
    ids=["nothing", "none", "number", "numbers", "too many", "image"],
)
async def test_an_input_that_is_no_text_is_refused(house: House, given: object):
    answer = await post(house, {"input": given})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("input")
    assert house.moderation.requests == []


async def test_many_texts_are_answered_in_their_order(house: House):
    texts = [BLOCKED if place % 3 == 0 else f"text {place}" for place in range(64)]
    results = (await post(house, {"input": texts})).json()["results"]

    assert [result["flagged"] for result in results] == [place % 3 == 0 for place in range(64)]
    assert sorted(request.text for request in house.moderation.requests) == sorted(texts)


async def test_without_moderation_there_is_no_verdict(house: House):
    house.moderation.fail = UnavailableError("down")
    with pytest.raises(openai.InternalServerError) as refused:
        await house.openai().moderations.create(input="hello")

    assert refused.value.status_code == 503
