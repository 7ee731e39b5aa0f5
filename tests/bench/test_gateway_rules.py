"""What LiteLLM is given of our policy is all of it that its filter can say."""

import re
from typing import Any

from tests.bench.gateway.rules import BLOCKED_INPUT, guardrails, rules


def part(mode: str, name: str) -> list[dict[str, Any]]:
    filters: list[Any] = [guardrail["litellm_params"] for guardrail in guardrails()]
    (found,) = [it[name] for it in filters if it["mode"] == mode]
    return list(found)


def test_each_rule_that_blocks_or_masks_is_there_in_its_direction() -> None:
    for mode, direction in (("pre_call", "input"), ("post_call", "output")):
        mine = [rule for rule in rules() if rule["directions"] in (direction, "both")]
        words = {word for rule in mine for word in rule.get("keywords", ())}

        assert {it["keyword"] for it in part(mode, "blocked_words")} == words != set()
        assert len(part(mode, "patterns")) == len([it for it in mine if "keywords" not in it]) > 9


def test_its_expressions_are_ones_and_match_what_ours_do() -> None:
    given = {it["name"]: it["pattern"] for it in part("pre_call", "patterns") if "name" in it}
    for name, text in {
        "weapons-request-en": BLOCKED_INPUT,
        "openai-key": "sk-abcdefghijklmnopqrstuvwx",
        "private-key": "-----BEGIN RSA PRIVATE KEY-----",
        "cn-identity-number": "11010519491231002X",
        "cn-mobile-number": "13800138000",
    }.items():
        assert re.search(given[name], text, re.IGNORECASE)
    assert all(re.compile(each) for each in given.values())
