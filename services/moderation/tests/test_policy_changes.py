"""Policies through RPC: put, compared and set, shown, listed, brought back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_guard.bundle import as_yaml, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_moderation.adapters.policy_files import load_policy
from modelmill_moderation.domain.policies import changes_between
from modelmill_moderation.settings import packaged_policies
from modelmill_service_kit.errors import ConflictError, InvalidInputError, NotFoundError
from moderation_support.policy_calls import get, judged_by, policy_of, put, revert, versions


async def test_documents_become_one_policy_that_judges_its_tenant_alone(moderation: Any) -> None:
    answer = await put(moderation, policy_of("apple"), policy_of("pear", action="mask"))
    assert (answer.written, answer.policy.version, answer.policy.changed_by) == (True, 1, "ann")
    assert list(answer.changes.added_rules) == ["apple", "pear"]
    assert list(answer.changes.removed_rules) == []
    await judged_by(moderation, answer.policy.digest)

    assert (await moderation.check("apple")).action == pb.ACTION_BLOCK
    assert (await moderation.check("apple", tenant="other")).action == pb.ACTION_ALLOW

    shown = await get(moderation)
    assert shown.policy == answer.policy
    assert [(d.name, d.text) for d in shown.documents] == [
        ("0.yaml", policy_of("apple")),
        ("1.yaml", policy_of("pear", action="mask")),
    ]


async def test_all_that_is_wrong_is_said_at_once_and_the_policy_in_force_stays(
    moderation: Any,
) -> None:
    first = await put(moderation, policy_of("apple"))
    with pytest.raises(InvalidInputError) as refusal:
        await put(moderation, "rules:\n- {id: X, pattern: a+}", "rules: [")
    of_each = [error.partition(":")[0] for error in refusal.value.errors]
    assert of_each.count("0.yaml") == 6
    assert of_each.count("1.yaml") == 1
    assert (await get(moderation)).policy == first.policy
    many = "rules:\n" + "- 1\n" * 99
    with pytest.raises(InvalidInputError, match="and 49 more"):
        await put(moderation, many)
    with pytest.raises(InvalidInputError, match="from 1 to 32 documents"):
        await put(moderation)
    with pytest.raises(InvalidInputError, match="'moderation' is taken"):
        await put(moderation, policy_of("pear"), changed_by="moderation")
    with pytest.raises(InvalidInputError, match="the limit is 900000"):
        await put(moderation, policy_of("pear") + "\n#" + "x" * 900_000)


async def test_a_dry_run_says_what_would_change_and_changes_nothing(moderation: Any) -> None:
    first = await put(moderation, policy_of("apple", "fig"))
    changed = policy_of("pear") + "\n- " + policy_of("fig", action="flag").partition("- ")[2]
    dry = await put(moderation, "max_check_characters: 9\n" + changed, dry_run=True)

    assert (dry.written, dry.policy.version) == (False, 2)
    assert list(dry.changes.added_rules) == ["pear"]
    assert list(dry.changes.removed_rules) == ["apple"]
    assert list(dry.changes.changed_rules) == ["fig"]
    assert list(dry.changes.changed_settings) == ["max_check_characters"]
    assert await versions(moderation) == [first.policy]


async def test_what_is_in_force_already_is_no_new_version(moderation: Any) -> None:
    first = await put(moderation, policy_of("apple"))
    again = await put(moderation, policy_of("apple"))
    assert (again.written, again.policy) == (False, first.policy)
    # Comments are no rules, but people want to read the ones that they wrote last.
    commented = await put(moderation, policy_of("apple") + "\n# why")
    assert (commented.written, commented.policy.digest) == (True, first.policy.digest)


async def test_a_policy_that_was_not_the_expected_one_is_not_replaced(moderation: Any) -> None:
    shared = (await get(moderation)).policy
    assert shared.tenant == "shared"
    first = await put(moderation, policy_of("apple"), expected_digest=shared.digest)
    for expected in (shared.digest, ""):
        with pytest.raises(ConflictError, match=f"{first.policy.digest} is in force"):
            await put(moderation, policy_of("pear"), expected_digest=expected)
        with pytest.raises(ConflictError):
            await revert(moderation, shared=True, expected_digest=expected)
    assert await versions(moderation) == [first.policy]


async def test_an_earlier_version_comes_back_as_a_new_one(moderation: Any) -> None:
    first = (await put(moderation, policy_of("apple"))).policy
    await put(moderation, policy_of("pear"))
    back = await revert(moderation, version=1)

    assert (back.policy.version, back.policy.restores_version) == (3, 1)
    assert (back.policy.digest, back.policy.changed_by) == (first.digest, "bob")
    assert list(back.changes.added_rules) == ["apple"]
    assert [policy.version for policy in await versions(moderation)] == [3, 2, 1]
    assert [policy.version for policy in await versions(moderation, limit=2)] == [3, 2]
    assert (await get(moderation)).documents[0].text == policy_of("apple")
    assert (await get(moderation, version=2)).documents[0].text == policy_of("pear")
    await judged_by(moderation, first.digest)
    for call in (revert(moderation, version=9), get(moderation, version=9)):
        with pytest.raises(NotFoundError, match="no version 9"):
            await call
    with pytest.raises(InvalidInputError, match="name a version"):
        await revert(moderation)


async def test_a_tenant_can_go_back_to_the_shared_policy_and_leave_it_again(
    moderation: Any,
) -> None:
    shared = (await get(moderation)).policy
    own = (await put(moderation, policy_of("apple"))).policy
    await judged_by(moderation, own.digest)

    back = await revert(moderation, shared=True)
    assert (back.policy.version, back.policy.follows_shared) == (2, True)
    assert list(back.changes.removed_rules) == ["apple"]
    await judged_by(moderation, shared.digest)
    assert (await get(moderation)).policy == shared

    again = await revert(moderation, version=1, expected_digest=shared.digest)
    assert again.policy.version == 3
    await judged_by(moderation, own.digest)
    with pytest.raises(InvalidInputError, match="follows no other"):
        await revert(moderation, tenant="shared", shared=True)


async def test_a_restart_keeps_what_tenants_put_in_force(start_moderation: Any) -> None:
    async with start_moderation() as first:
        own = (await put(first, policy_of("apple"))).policy
        await put(first, policy_of("pear"), tenant="other")
        await revert(first, tenant="other", shared=True)
    async with start_moderation() as second:
        assert (await second.check("apple")).policy_digest == own.digest
        assert (await second.check("pear", tenant="other")).action == pb.ACTION_ALLOW


async def test_the_packaged_policy_is_shown_as_yaml_that_compiles_to_it(moderation: Any) -> None:
    shown = await get(moderation)
    (document,) = shown.documents
    bundle = compile_policy(parse_policy({document.name: document.text}))
    assert bundle.digest == shown.policy.digest == load_policy(packaged_policies()).digest
    assert as_yaml(bundle.content) == document.text


WORDS = st.sets(st.sampled_from(["apple", "pear", "fig", "plum"]), min_size=1)


@given(WORDS, WORDS)
def test_changes_are_what_one_policy_has_and_the_other_has_not(
    before: set[str], after: set[str]
) -> None:
    bundles = [compile_policy(parse_policy({"p": policy_of(*w)})).content for w in (before, after)]
    changes = changes_between(*bundles)
    assert set(changes.added_rules) == after - before
    assert set(changes.removed_rules) == before - after
    assert (changes.changed_rules, changes.changed_settings) == ((), ())
