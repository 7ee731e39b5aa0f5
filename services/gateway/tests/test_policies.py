"""The tenant's own policy over HTTP: always the token's tenant, under the token's name."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_support.house import BLOCKED, MASKED, POLICY, House, compiled, run_house
from gateway_support.policies import ALONE, DEFAULT_RULES, SHARED
from modelmill_guard.bundle import compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_service_kit.errors import DeadlineError, PreconditionError, UnavailableError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/moderation/policy"
DOCUMENT = {"name": "a.yaml", "text": "rules: []"}


async def put(house: House, **fields: Any) -> httpx.Response:
    return await house.http().put(PATH, json={"documents": [DOCUMENT]} | fields)


async def test_documents_are_put_in_force_for_the_callers_tenant(house: House):
    answer = await put(house)

    assert (answer.json()["version"], answer.json()["written"]) == (1, True)
    assert answer.json()["changes"]["added_rules"] == ["x"]
    (request,) = house.moderation.puts
    assert (request.tenant, request.changed_by, request.dry_run) == ("acme", "ada", False)
    assert [(each.name, each.text) for each in request.documents] == [("a.yaml", "rules: []")]
    assert not request.HasField("expected_digest")

    shown = (await house.http().get(PATH)).json()
    assert (shown["tenant"], shown["version"], shown["documents"]) == ("acme", 1, [DOCUMENT])
    dry = (await put(house, dry_run=True)).json()
    assert (dry["version"], dry["written"]) == (2, False)


async def test_all_errors_of_a_policy_are_listed(house: House):
    wrong = {"name": "a.yaml", "text": "wrong"}
    answer = await put(house, documents=[wrong])

    assert answer.status_code == 422
    assert answer.json()["error"]["errors"] == ["a.yaml:2: rule x: bad", "a.yaml:3: rule y: bad"]


async def test_default_rules_go_only_when_the_request_names_them_all(house: House):
    alone = [DOCUMENT | {"text": "alone"}]
    before = (await house.http().get(PATH)).json()
    for named in ([], ["iban"]):
        refused = await put(house, documents=alone, remove_default_rules=named)
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (409, "default_rules_would_go")
        assert error["default_rules"] == [rule for rule in DEFAULT_RULES if rule not in named]
        assert all(rule in error["message"] for rule in error["default_rules"])
    assert (await house.http().get(PATH)).json() == before
    assert before["removed_default_rules"] == ["email-address"]
    assert before["default_documents"] == [{"name": "default.yaml", "text": "rules: []"}]

    done = (await put(house, documents=alone, remove_default_rules=[*DEFAULT_RULES])).json()
    assert (done["written"], done["removed_default_rules"]) == (True, [*DEFAULT_RULES])
    back = {"version": ALONE}
    assert (await house.http().post(f"{PATH}/revert", json=back)).status_code == 409
    back["remove_default_rules"] = [*DEFAULT_RULES]
    assert (await house.http().post(f"{PATH}/revert", json=back)).status_code == 200


async def test_a_dry_run_says_which_default_rules_would_go(house: House):
    dry = await put(house, documents=[DOCUMENT | {"text": "alone"}], dry_run=True)
    assert (dry.status_code, dry.json()["unconfirmed_default_rules"]) == (200, [*DEFAULT_RULES])
    beside = (await put(house, dry_run=True)).json()
    assert beside["default_documents"] == [{"name": "default.yaml", "text": "rules: []"}]
    assert beside["unconfirmed_default_rules"] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"documents": []},
        {"documents": [DOCUMENT, DOCUMENT]},
        {"documents": [{"name": "", "text": "x"}]},
        {"tenant": "other"},
        {"dry_run": "yes"},
    ],
)
async def test_a_body_of_another_shape_never_reaches_moderation(house: House, fields: Any):
    assert (await put(house, **fields)).status_code == 422
    assert house.moderation.puts == []


async def test_a_policy_that_was_not_the_expected_one_is_a_conflict(house: House):
    assert (await put(house, expected_digest="sha256:other")).status_code == 409
    assert (await put(house, expected_digest=SHARED)).status_code == 200
    back = await house.http().post(
        f"{PATH}/revert", json={"shared": True, "expected_digest": SHARED}
    )
    assert back.status_code == 409


async def test_versions_are_listed_shown_and_brought_back(house: House):
    client = house.http()
    await put(house)
    back = (await client.post(f"{PATH}/revert", json={"version": 1})).json()
    assert (back["version"], back["restores_version"]) == (2, 1)
    shared = (await client.post(f"{PATH}/revert", json={"shared": True})).json()
    assert (shared["follows_shared"], shared["digest"]) == (True, None)

    listed = (await client.get(f"{PATH}/versions")).json()["data"]
    assert [version["version"] for version in listed] == [3, 2, 1]
    assert (await client.get(PATH, params={"version": 1})).json()["version"] == 1
    assert (await client.get(PATH, params={"version": 9})).status_code == 404
    assert (await client.get(PATH, params={"version": "x"})).status_code == 400


@pytest.mark.parametrize(
    "body", [{}, {"version": 1, "shared": True}, {"version": 0}, {"version": 2**64}]
)
async def test_a_way_back_names_one_place(house: House, body: Any):
    assert (await house.http().post(f"{PATH}/revert", json=body)).status_code == 422
    assert house.moderation.reverts == []


# While moderation is away -------------------------------------------------------------------------


def chat(house: House, content: str) -> Any:
    body = {"model": "default", "messages": [{"role": "user", "content": content}]}
    return house.http().post("/v1/chat/completions", json=body)


async def say_rules_only(house: House) -> None:
    bundle = compile_policy(parse_policy({"p": f"when_unavailable: rules_only\n{POLICY}"}))
    await house.say_policy("acme", bundle.content, bundle.digest)

    async def judges() -> bool:
        answer = await chat(house, "hi")
        return bool(answer.headers.get("x-policy-digest") == bundle.digest)

    await eventually(judges)


async def test_rules_alone_judge_inputs_where_the_policy_says_so(tmp_path: Path):
    async with run_house(tmp_path) as house:
        await say_rules_only(house)
        house.moderation.fail = PreconditionError("no valid policy bundle")
        assert (await chat(house, "hello")).status_code == 503
        for away in (UnavailableError("down"), DeadlineError("late")):
            house.moderation.fail = away
            assert (await chat(house, "hello")).status_code == 200
            blocked = await chat(house, f"eat the {BLOCKED}")
            assert blocked.status_code == 400
            assert blocked.json()["error"]["code"] == "content_policy_violation"
            await chat(house, f"my {MASKED}")
            assert house.inference.requests[-1].conversation.messages[-1].content == "my *****"

        async def recorded() -> bool:
            audited = [one.body async for one in house.bus.replay(["audit.gateway"])]
            ids = [list(record.rule_ids) for record in audited]
            return ids.count(["no-eating"]) == 2 and ids.count(["no-number"]) == 2

        await eventually(recorded)
        too_long = await chat(house, "x" * 100_001)
        assert (too_long.status_code, too_long.json()["error"]["code"]) == (400, "input_too_long")


async def test_by_default_nothing_passes_while_moderation_is_away(tmp_path: Path):
    async with run_house(tmp_path, moderation_address="127.0.0.1:1") as house:
        assert (await chat(house, "hello")).status_code == 503
        await say_rules_only(house)
        assert (await chat(house, "hello")).status_code == 200


async def test_who_goes_back_to_the_shared_policy_is_judged_by_it(tmp_path: Path):
    async with run_house(tmp_path) as house:
        await say_rules_only(house)
        await house.say_follows_shared("acme")

        async def shared() -> bool:
            answer = await chat(house, "hi")
            return bool(answer.headers["x-policy-digest"] == compiled()[0].digest)

        await eventually(shared)
