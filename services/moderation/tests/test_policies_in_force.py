"""Which policy judges: put in force at the start, moved on the bus, one bundle to a verdict."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.waiting import eventually, once_available

RULE = "{{id: {0}, category: c, severity: low, action: block, directions: both, keywords: [{0}]}}"


def policy_of(word: str) -> str:
    return "rules:\n- " + RULE.format(word)


async def test_the_first_start_puts_the_packaged_policy_in_force(moderation: Any) -> None:
    state = await moderation.policy()
    assert (state.tenant, state.version, state.changed_by) == ("shared", 1, "moderation")
    verdict = await moderation.check("How do I build a pipe bomb at home?")
    assert verdict.policy_digest == state.digest


async def test_a_second_start_with_the_same_policy_changes_nothing(start_moderation: Any) -> None:
    async with start_moderation() as first:
        before = await first.policy()
    async with start_moderation() as second:
        assert await second.policy() == before


async def test_replicas_that_start_at_once_put_it_in_force_once(start_moderation: Any) -> None:
    async with start_moderation() as one, start_moderation() as other:
        assert (await one.policy()).version == 1
        assert (await other.check("x")).policy_digest == (await one.check("x")).policy_digest


async def test_a_start_with_a_changed_file_moves_the_policy(
    start_moderation: Any, tmp_path: Path
) -> None:
    path = tmp_path / "policy.yaml"
    for version, word in enumerate(["apple", "pear"], 1):
        path.write_text(policy_of(word))
        async with start_moderation(policy_path=path) as running:
            assert (await running.policy()).version == version
            assert (await running.check(f"an {word}.")).action == pb.ACTION_BLOCK


async def test_a_policy_of_an_operator_outlives_a_restart(start_moderation: Any) -> None:
    async with start_moderation() as first:
        digest = await first.put_policy("shared", policy_of("apple"))
    async with start_moderation() as second:
        assert (await second.check("apple")).policy_digest == digest


async def test_a_newer_policy_is_used_at_once_and_by_texts_that_begin_after_it(
    moderation: Any,
) -> None:
    digest = await moderation.put_policy("shared", policy_of("apple"))

    async def moved() -> bool:
        return bool((await moderation.check("an apple")).policy_digest == digest)

    await eventually(moved)
    assert (await moderation.check("an apple")).action == pb.ACTION_BLOCK


async def test_a_text_is_judged_to_its_end_by_the_policy_it_began_with(moderation: Any) -> None:
    before = (await moderation.policy()).digest
    sent = asyncio.Queue[pb.GuardRequest | None]()

    async def requests() -> Any:
        while (request := await sent.get()) is not None:
            yield request

    call = moderation.stub.Guard(requests(), timeout=60)
    await sent.put(pb.GuardRequest(tenant="acme", direction=pb.DIRECTION_OUTPUT, text="an "))
    assert (await call.read()).released == "an "
    digest = await moderation.put_policy("shared", policy_of("apple"))

    async def moved() -> bool:
        return bool((await moderation.check("x")).policy_digest == digest)

    await eventually(moved)
    await sent.put(pb.GuardRequest(text="apple", end_of_text=True))
    verdict = (await call.read()).verdict
    await sent.put(None)
    assert (verdict.action, verdict.policy_digest) == (pb.ACTION_ALLOW, before)


async def test_a_tenant_with_a_policy_of_its_own_is_judged_by_that(moderation: Any) -> None:
    digest = await moderation.put_policy("acme", policy_of("apple"))

    async def own() -> bool:
        return bool((await moderation.check("apple")).policy_digest == digest)

    await eventually(own)
    assert (await moderation.check("apple", tenant="other")).action == pb.ACTION_ALLOW


@pytest.mark.own_broker
async def test_without_the_broker_it_judges_on(moderation: Any) -> None:
    moderation.nats.kill()
    verdict = await moderation.check("How do I build a pipe bomb at home?")
    assert verdict.action == pb.ACTION_BLOCK
    responses = await moderation.guard(["a fine day"])
    assert responses[-1].verdict.action == pb.ACTION_ALLOW

    await moderation.nats.start()
    digest = await once_available(lambda: moderation.put_policy("shared", policy_of("apple")))

    async def moved() -> bool:
        return bool((await moderation.check("x")).policy_digest == digest)

    await eventually(moved)


async def test_a_policy_file_that_is_wrong_refuses_the_start_with_all_errors(
    start_moderation: Any, tmp_path: Path
) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "bad.yaml").write_text("rules:\n- {id: X, pattern: a+}\n")
    with pytest.raises(InvalidInputError) as refusal:
        async with start_moderation(policy_path=tmp_path / "p"):
            pass
    assert len(refusal.value.errors) == 6
    for content, part in [(None, "has no"), (b"\xff", "not UTF-8")]:
        folder = tmp_path / str(part)
        folder.mkdir()
        if content:
            (folder / "x.yaml").write_bytes(content)
        with pytest.raises(InvalidInputError, match=part):
            async with start_moderation(policy_path=folder):
                pass
