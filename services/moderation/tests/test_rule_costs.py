"""Rules that cost more than rules may are refused, by name, and what is in force stays."""

from typing import Any

import pytest
from modelmill_service_kit.errors import InvalidInputError
from moderation_support.policy_calls import get, policy_of, put

HEAD = "category: c, severity: low, action: mask, directions: both"
COSTLY = (
    "(?:[a-z]?[a-z0-9 ]?){120}z",
    "(?:[a-z]{1,3}[a-m].{2,10}){10}q",
    ".{0,120}x.{0,120}y",
    "(?:.{1,15}[a-e]){15}",
    "(?:.{1,12}[f-k]){18}",
)
RULES = "rules:\n- " + "\n- ".join(
    f"{{id: costly-{number}, {HEAD}, pattern: '{pattern}'}}"
    for number, pattern in enumerate(COSTLY)
)


@pytest.mark.tier("test")
async def test_costly_rules_are_refused_by_name_with_what_they_cost(moderation: Any) -> None:
    first = await put(moderation, policy_of("apple"))
    for dry in (True, False):
        with pytest.raises(InvalidInputError) as refusal:
            await put(moderation, policy_of("pear"), RULES, dry_run=dry)
        told, *named = refusal.value.errors
        assert "the limit is 20" in told
        assert named[0].startswith("rule costly-")
        assert all("microseconds a character" in each for each in named)
    assert (await get(moderation)).policy == first.policy


@pytest.mark.tier("test")
async def test_the_operator_says_how_much_rules_may_cost_and_default_ones_do_not_count(
    start_moderation: Any,
) -> None:
    async with start_moderation(rule_cost_microseconds=1e6) as lenient:
        assert (await put(lenient, RULES)).written
    async with start_moderation(rule_cost_microseconds=1e-6) as strict:
        with pytest.raises(InvalidInputError, match="rule pear"):
            await put(strict, policy_of("pear"))
        assert (await put(strict, "rules: []", tenant="other")).written
