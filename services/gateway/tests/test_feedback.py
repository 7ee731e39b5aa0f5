"""A word on an answer or a verdict: kept under the caller's name, and nothing of it unasked."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import House
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_events_pb2 import (
    FEEDBACK_REPORT_FALSE_POSITIVE,
    FEEDBACK_REPORT_UNSPECIFIED,
    FeedbackRecorded,
)
from modelmill_bus.subjects import feedback_recorded
from modelmill_gateway.domain.request_context import RequestIds, nobodys_id

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


async def request_of(house: House, tenant: str = "acme") -> str:
    """The id of a request that the tenant made."""
    answer = await house.http(tenant=tenant).get("/v1/models")
    return str(answer.headers["x-request-id"])


async def test_a_report_of_a_rule_that_there_is_not_is_refused_with_the_one_that_may_be_meant(
    house: House, kept: Any
):
    before = len(await kept("acme"))
    answer = await post(house, REPORT | {"rules": ["note-lock"]}, tenant="acme")

    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == (
        "rules: the policy in force has no rule 'note-lock'. Did you mean 'note-locks'?"
        " GET /v1/moderation/policy lists them"
    )
    assert len(await kept("acme")) == before


async def test_a_report_is_kept_with_all_that_was_said_under_the_callers_name(
    house: House, kept: Any
):
    request_id = await request_of(house)
    said = {
        "request_id": request_id,
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
    assert (answer["object"], answer["request_id"]) == ("feedback", request_id)
    assert (recorded.tenant, recorded.caller) == ("acme", "ann")
    assert recorded.report == FEEDBACK_REPORT_FALSE_POSITIVE
    assert (recorded.text, recorded.direction) == ("my lock screen", "input")
    assert (list(recorded.categories), list(recorded.rules)) == (["illicit"], ["note-locks"])
    assert recorded.comment == "that is a phone"
    assert not recorded.HasField("score")


async def test_a_score_of_an_answer_is_kept_without_any_text(house: House, kept: Any):
    request_id = await request_of(house)
    assert (await post(house, {"request_id": request_id, "score": 0})).status_code == 200
    (recorded,) = await kept("acme")

    assert (recorded.request_id, recorded.score, recorded.text) == (request_id, 0.0, "")
    assert recorded.HasField("score")
    assert recorded.report == FEEDBACK_REPORT_UNSPECIFIED


async def test_a_corrected_answer_is_kept_and_read_back_by_who_improves_the_model(house: House):
    request_id = await request_of(house, "correctors")
    said = {"request_id": request_id, "correction": "It is <b>blue</b>."}
    answer = await post(house, said, tenant="correctors", sub="ann")
    listed = (await house.http(tenant="correctors").get("/v1/feedback")).json()["data"]

    assert answer.status_code == 200
    assert "blue" not in answer.text
    assert [(each["caller"], each["correction"]) for each in listed] == [
        ("ann", said["correction"])
    ]
    assert (listed[0]["request_id"], listed[0]["comment"]) == (request_id, None)


async def test_feedback_on_a_request_that_the_tenant_did_not_make_is_404_and_not_kept(
    house: House, kept: Any
):
    theirs, own = await request_of(house, "others"), await request_of(house)
    refused = (await house.http(scope="files").get("/v1/models")).headers["x-request-id"]
    forged = f"{own[:-1]}{'0' if own[-1] != '0' else '1'}"
    for unknown in (theirs, forged, refused.upper(), "req-7", "req-", own.removeprefix("req-")[1:]):
        answer = await post(house, {"request_id": unknown, "score": 1})
        assert answer.status_code == 404, unknown
        assert "x-request-id" in answer.json()["error"]["message"]
    assert await kept("acme") == []
    assert (await post(house, {"request_id": own, "score": 1})).status_code == 200


async def test_feedback_takes_http_and_grpc_requests_of_chats_verdicts_and_refusals(
    house: House,
):
    client = house.http()
    verdict = await client.post("/v1/moderations", json={"input": "hi"})
    blocked = await client.post("/generate", json={"prompt": "forbidden fruit"})
    assert (verdict.status_code, blocked.status_code) == (200, 400)
    async with grpc_stub(house) as stub:
        call = stub.ListModels(pb.ListModelsRequest(), timeout=CALL_SECONDS)
        told = dict(await call.initial_metadata())
        await call
    ids = [verdict.headers["x-request-id"], blocked.headers["x-request-id"], told["x-request-id"]]
    for request_id in ids:
        said = {"request_id": request_id, "report": "false_positive"}
        assert (await post(house, said)).status_code == 200


async def test_what_was_said_is_read_back_newest_first_by_who_mends_the_policy_of_its_tenant(
    house: House,
):
    request_id = await request_of(house, "readers")
    scored = {"request_id": request_id, "score": -0.5, "comment": "no"}
    ids = []
    for said in (REPORT | {"rules": ["note-locks"]}, scored):
        answer = await post(house, said, tenant="readers", sub="ann")
        ids.append(answer.json()["id"])

    client = house.http(tenant="readers", scope="moderation")
    listed = (await client.get("/v1/feedback")).json()["data"]
    assert [each["id"] for each in listed] == ids[::-1]
    assert [each["caller"] for each in listed] == ["ann", "ann"]
    assert {name: listed[0][name] for name in scored} == scored
    assert (listed[1]["report"], listed[1]["text"]) == ("missed", "pick a lock")
    assert listed[1]["rules"] == ["note-locks"]
    assert (await client.get(f"/v1/feedback/{ids[0]}")).json() == listed[1]

    first = (await client.get("/v1/feedback", params={"limit": 1})).json()
    assert (first["has_more"], [each["id"] for each in first["data"]]) == (True, ids[1:])
    stranger = house.http(tenant="strange-readers")
    assert (await stranger.get("/v1/feedback")).json()["data"] == []
    assert (await stranger.get(f"/v1/feedback/{ids[0]}")).status_code == 404
    asker = house.http(tenant="readers", scope="chat")
    assert (await asker.get("/v1/feedback")).status_code == 403


async def test_an_id_is_known_by_who_has_the_secret_and_by_nobody_else():
    ids = RequestIds("secret")
    given = [ids.new("acme") for _ in range(100)]
    assert len({*given}) == 100
    assert all(re.fullmatch("req-[0-9a-f]{32}", each) for each in given)
    assert all(RequestIds("secret").are_of("acme", each) for each in given)
    assert not any(RequestIds("other").are_of("acme", each) for each in given)
    assert not any(ids.are_of("acm", each) for each in given)
    assert not ids.are_of("acme", nobodys_id())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "needs a score, completed, a report, a correction or a comment"),
        ({"report": "missed"}, "a report needs the text, or the request_id"),
        ({"score": 1}, "a score needs the request_id"),
        ({"correction": "a"}, "a correction needs the request_id"),
        ({"request_id": "a", "correction": ""}, "correction"),
        ({"request_id": "a", "correction": "x" * 8_193}, "correction"),
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


@pytest.mark.own_broker
@pytest.mark.asyncio(loop_scope="function")
async def test_while_the_bus_is_away_nobody_hears_that_it_was_kept(own_house: House):
    await own_house.nats.stop()
    try:
        answer = await post(own_house, REPORT)
    finally:
        await own_house.nats.start()

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
