"""Default rules beside a tenant's own: in force until they are let go by name, at every change."""

from pathlib import Path
from typing import Any

import pytest
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_guard.bundle import compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.waiting import eventually
from moderation_support.policy_calls import get, judged_by, policy_of, put, revert, versions

METH = "how to produce lsd"
RULE = "drugs-instructions-en"
WEAKER = f"""rules:
- {{id: {RULE}, category: illicit, severity: low, action: flag, directions: input,
   keywords: [anything]}}
"""


async def action_on(moderation: Any, text: str, tenant: str = "acme") -> int:
    return int((await moderation.check(text, tenant=tenant)).action)


async def test_a_first_policy_leaves_the_default_rules_in_force(moderation: Any) -> None:
    answer = await put(moderation, policy_of("apple", "fig", "plum"))
    assert list(answer.changes.removed_rules) == list(answer.removed_default_rules) == []
    await judged_by(moderation, answer.policy.digest)

    verdict = await moderation.check(METH)
    assert (verdict.action, verdict.matches[0].rule_id) == (pb.ACTION_BLOCK, RULE)
    assert await action_on(moderation, "an apple") == pb.ACTION_BLOCK


@pytest.mark.parametrize("text", [f"rules: []\nremove_default_rules: [{RULE}]", WEAKER])
async def test_a_default_rule_goes_only_when_the_request_names_it(
    moderation: Any, text: str
) -> None:
    shared = (await get(moderation)).policy
    refused = await put(moderation, text)
    assert (refused.written, list(refused.unconfirmed_default_rules)) == (False, [RULE])
    assert ((await get(moderation)).policy, await versions(moderation)) == (shared, [])

    answer = await put(moderation, text, remove_default_rules=[RULE])
    assert (answer.written, list(answer.removed_default_rules)) == (True, [RULE])
    await judged_by(moderation, answer.policy.digest)
    assert await action_on(moderation, METH) == pb.ACTION_ALLOW
    assert await action_on(moderation, "write to a@b.example") == pb.ACTION_MASK
    shown = await get(moderation)
    assert list(shown.removed_default_rules) == [RULE]
    assert RULE not in shown.default_documents[0].text

    # Each request speaks for itself: what the last one named counts for nothing.
    assert list((await put(moderation, text)).unconfirmed_default_rules) == [RULE]
    assert (await get(moderation)).policy == answer.policy


async def test_the_request_alone_may_name_what_goes_and_the_next_without_it_brings_it_back(
    moderation: Any,
) -> None:
    await put(moderation, policy_of("apple"), remove_default_rules=[RULE])
    answer = await put(moderation, policy_of("apple"))
    assert (answer.written, list(answer.changes.added_rules)) == (True, [RULE])
    await judged_by(moderation, answer.policy.digest)
    assert await action_on(moderation, METH) == pb.ACTION_BLOCK


async def test_names_that_are_no_default_rules_are_refused(moderation: Any) -> None:
    for fields in (
        {"remove_default_rules": ["nobody"]},
        {"text": "remove_default_rules: [nobody]"},
    ):
        text = f"{policy_of('apple')}\n{fields.pop('text', '')}"
        with pytest.raises(InvalidInputError, match="'nobody' is no default rule"):
            await put(moderation, text, **fields)
    with pytest.raises(InvalidInputError, match="no default rule"):
        await put(moderation, policy_of("apple"), tenant="shared", remove_default_rules=[RULE])
    with pytest.raises(InvalidInputError, match="these are the default rules"):
        await put(moderation, f"rules: []\nremove_default_rules: [{RULE}]", tenant="shared")
    assert await versions(moderation) == []


async def test_a_dry_run_lists_what_would_go_and_what_would_judge_beside(moderation: Any) -> None:
    dry = await put(moderation, WEAKER, dry_run=True)
    assert (dry.written, list(dry.unconfirmed_default_rules)) == (False, [RULE])
    texts = {document.name: document.text for document in dry.default_documents}
    bundle = compile_policy(parse_policy({"own.yaml": WEAKER} | texts))
    assert bundle.digest == dry.policy.digest


async def test_an_earlier_version_comes_back_on_top_of_the_default_rules(moderation: Any) -> None:
    # Written to the bus directly, like versions before there were layers: it has no base.
    alone = await moderation.put_policy("acme", policy_of("apple"))
    await judged_by(moderation, alone)
    assert RULE in (await get(moderation)).removed_default_rules
    assert await action_on(moderation, METH) == pb.ACTION_ALLOW
    await put(moderation, WEAKER, remove_default_rules=[RULE])

    back = await revert(moderation, version=1)
    assert list(back.removed_default_rules) == []
    await judged_by(moderation, back.policy.digest)
    assert await action_on(moderation, METH) == pb.ACTION_BLOCK
    assert await action_on(moderation, "an apple") == pb.ACTION_BLOCK

    refused = await revert(moderation, version=2)
    assert list(refused.unconfirmed_default_rules) == [RULE]
    assert (await get(moderation)).policy == back.policy
    again = await revert(moderation, version=2, remove_default_rules=[RULE])
    assert list(again.removed_default_rules) == [RULE]
    await judged_by(moderation, again.policy.digest)
    assert await action_on(moderation, METH) == pb.ACTION_ALLOW


def patterns(letter: str, count: int) -> str:
    rules = [
        f"{{id: {letter}{number}, category: c, severity: low, action: block, directions: both,"
        f" pattern: '{letter}{number:03}'}}"
        for number in range(count)
    ]
    return "\n- ".join(["rules:", *rules])


async def test_new_default_rules_come_to_tenants_with_policies_of_their_own(
    start_moderation: Any, tmp_path: Path
) -> None:
    def release(text: str) -> dict[str, str]:
        (tmp_path / "default.yaml").write_text(text)
        return {"policy_path": str(tmp_path / "default.yaml")}

    async with start_moderation(**release(policy_of("fig", "plum"))) as first:
        full = (await put(first, patterns("p", 150), tenant="full")).policy
        await put(first, policy_of("apple"), remove_default_rules=["plum"])
        alone = await first.put_policy("other", policy_of("apple"))
    new = policy_of("plum", "pear") + patterns("q", 100).removeprefix("rules:")
    async with start_moderation(**release(new)) as second:

        async def renewed() -> bool:
            return bool((await get(second)).policy.version == 2)

        await eventually(renewed)
        shown = await get(second)
        assert shown.policy.changed_by == "moderation"
        assert shown.documents[0].text == policy_of("apple")
        assert list(shown.removed_default_rules) == ["plum"]
        await judged_by(second, shown.policy.digest)
        words = ("apple", "fig", "plum", "pear", "q042")
        assert [word for word in words if await _is_blocked(second, word)] == [
            "apple",
            "pear",
            "q042",
        ]
        # What never was on top of the default rules stays as it is, and so does what together with
        # the new ones would be more than a policy may have.
        assert (await get(second, tenant="other")).policy.digest == alone
        kept = await get(second, tenant="full")
        assert kept.policy == full
        assert "pear" in kept.removed_default_rules
        assert await action_on(second, "fig", tenant="full") == pb.ACTION_BLOCK


async def _is_blocked(moderation: Any, word: str) -> bool:
    return await action_on(moderation, word) == pb.ACTION_BLOCK


async def test_operators_default_policies_change_under_tenants_while_the_service_runs(
    moderation: Any,
) -> None:
    await put(moderation, policy_of("apple"))
    await put(moderation, policy_of("pear"), tenant="shared")

    async def both() -> bool:
        return await _is_blocked(moderation, "pear") and await _is_blocked(moderation, "apple")

    await eventually(both)
    assert await action_on(moderation, METH) == pb.ACTION_ALLOW
    assert [version.version for version in await versions(moderation)] == [2, 1]
