"""A word on an answer or a verdict: kept under the caller's name, and nothing of it unasked."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway_support.house import House, run_house
from jobs.subjects import feedback_recorded
from modelmill.gateway.v1.gateway_events_pb2 import (
    FEEDBACK_REPORT_FALSE_POSITIVE,
    FEEDBACK_REPORT_UNSPECIFIED,
    FeedbackRecorded,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

REPORT = {"report": "missed", "text": "pick a lock"}


async def post(house: House, body: Any, key: str = "", **claims: Any) -> httpx.Response:
    headers = {"idempotency-key": key} if key else {}
    return await house.http(**claims).post("/v1/feedback", json=body, headers=headers)


@pytest_asyncio.fixture(loop_scope="module")
async def kept(house: House) -> AsyncIterator[Any]:
    """What is kept for a tenant from here on."""
    before = await house.bus.last_sequence("FEEDBACK")

    async def since(tenant: str) -> list[FeedbackRecorded]:
        stored = [each async for each in house.bus.replay([feedback_recorded(tenant)])]
        return [each.body for each in stored if each.sequence > before]

    yield since


async def test_a_report_is_kept_with_all_that_was_said_under_the_callers_name(
    house: House, kept: Any
):
    said = {
        "request_id": "req-7",
        "report": "false_positive",
        "text": "my lock screen",
        "direction": "input",
        "categories": ["illicit", "illicit"],
        "rules": ["note-locks"],
        "comment": "that is a phone",
    }
    answer = (await post(house, said, tenant="acme", sub="ann")).json()
    (recorded,) = await kept("acme")

    assert answer["id"] == recorded.feedback_id
    assert answer["id"].startswith("fb-")
    assert (answer["object"], answer["request_id"]) == ("feedback", "req-7")
    assert (recorded.tenant, recorded.caller) == ("acme", "ann")
    assert recorded.report == FEEDBACK_REPORT_FALSE_POSITIVE
    assert (recorded.text, recorded.direction) == ("my lock screen", "input")
    assert (list(recorded.categories), list(recorded.rules)) == (["illicit"], ["note-locks"])
    assert recorded.comment == "that is a phone"
    assert not recorded.HasField("score")


async def test_a_score_of_an_answer_is_kept_without_any_text(house: House, kept: Any):
    assert (await post(house, {"request_id": "req-1", "score": 0})).status_code == 200
    (recorded,) = await kept("acme")

    assert (recorded.request_id, recorded.score, recorded.text) == ("req-1", 0.0, "")
    assert recorded.HasField("score")
    assert recorded.report == FEEDBACK_REPORT_UNSPECIFIED


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "needs a score, a report or a comment"),
        ({"report": "missed"}, "a report needs the text, or the request_id"),
        ({"score": 1}, "a score needs the request_id"),
        ({"comment": "a", "text": "b", "rules": ["c"]}, "only with a report: text, rules"),
        ({"report": "wrong", "text": "a"}, "report"),
        ({"request_id": "a", "score": 1.5}, "score"),
        ({"request_id": "a", "score": float("nan")}, "score"),
        ({"request_id": "a b", "score": 1}, "request_id"),
        ({**REPORT, "text": "x" * 8_193}, "text"),
        ({**REPORT, "text": ""}, "text"),
        ({**REPORT, "comment": "x" * 2_049}, "comment"),
        ({**REPORT, "rules": ["x"] * 33}, "rules"),
        ({**REPORT, "rules": ["x" * 65]}, "rules"),
        ({**REPORT, "categories": [""]}, "categories"),
        ({**REPORT, "direction": "both"}, "direction"),
        ({**REPORT, "tenant": "other"}, "tenant"),
    ],
)
async def test_what_says_nothing_or_too_much_is_refused_and_not_kept(
    house: House, kept: Any, said: dict[str, Any], why: str
):
    body = str(said).replace("'", '"').replace("nan", "NaN")
    answer = await house.http().post("/v1/feedback", content=body)

    assert answer.status_code in (400, 422)
    assert why in answer.text.lower()
    assert await kept("acme") == []


async def test_the_same_said_again_under_the_same_key_is_kept_once(house: House, kept: Any):
    first, again = [await post(house, REPORT, "k1", tenant="keys") for _ in range(2)]
    another = await post(house, REPORT, "k2", tenant="keys")
    others = await post(house, REPORT, "k1", tenant="strangers")
    corrected = await post(house, {**REPORT, "comment": "see"}, "k1", tenant="keys")

    assert first.json()["id"] == again.json()["id"]
    answers = (first, another, others, corrected)
    assert len({each.json()["id"] for each in answers}) == 4
    assert len(await kept("keys")) == 3
    assert len(await kept("strangers")) == 1


async def test_while_the_bus_is_away_nobody_hears_that_it_was_kept(tmp_path: Path):
    async with run_house(tmp_path) as house:
        await house.nats.stop()
        try:
            answer = await post(house, REPORT)
        finally:
            await house.nats.start()

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
