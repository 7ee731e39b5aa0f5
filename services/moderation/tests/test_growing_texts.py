"""A long text before judges leaves the loop to others, and gets the verdict of the whole."""

import asyncio

from modelmill_guard.judge import Judge, Window
from modelmill_guard.judged_text import PIECE_CHARACTERS, at_once, judge_whole
from modelmill_guard.judging import Ruling
from modelmill_guard.verdict import Direction
from modelmill_moderation.domain.policies import Ownership, PolicyInForce
from modelmill_moderation.guard_text import open_text
from modelmill_moderation.judging import TenantRules
from modelmill_service_kit.work_apart import WorkApart
from moderation_support.judged import compiled, judges

TEXT = "grass and bob, " * 3000


async def passes(judge: Judge, window: Window, *, owner: str = "acme") -> Ruling:
    return Ruling(())


async def test_however_long_a_piece_is_others_have_their_turn() -> None:
    flags = judges().replace("action: block, labels", "action: flag, labels")
    policy = compiled(flags.replace("action: mask, categories", "action: flag, categories"))
    turns = 0

    async def beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(beside())
    growing = open_text(PolicyInForce(Ownership("acme"), policy), Direction.INPUT, passes, at_once)
    shown = (await growing.push(TEXT)).text
    assert turns >= len(TEXT) // PIECE_CHARACTERS
    last = await growing.finish()
    await growing.close()
    others.cancel()

    assert last.verdict == await judge_whole(policy, TEXT, Direction.INPUT, passes)
    assert shown + last.text == TEXT.replace("bob", "***")


async def test_rules_that_take_long_give_the_same_in_threads() -> None:
    work = WorkApart()
    work.keep_apart("acme")
    try:
        for written in (judges(), judges().partition("judges:")[0]):
            policy = PolicyInForce(Ownership("acme"), compiled(written))
            ends = []
            for tenant in ("acme", "other"):
                growing = open_text(policy, Direction.INPUT, passes, TenantRules(tenant, work))
                pieces = [await growing.push(TEXT[at : at + 700]) for at in range(0, 4000, 700)]
                ends.append([*pieces, await growing.finish()])
                await growing.close()
            assert ends[0] == ends[1]
    finally:
        work.close()
