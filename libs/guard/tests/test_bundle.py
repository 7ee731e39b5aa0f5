"""Bundles name what is in them, and nothing else is accepted."""

import json

import pytest
from modelmill_guard.bundle import (
    CompiledPolicy,
    RecentPolicies,
    TextTooLongError,
    compile_policy,
    digest_of,
)
from modelmill_guard.policy import PolicyError, parse_policy
from modelmill_guard.verdict import Action, Direction

RULE = "{id: %s, category: illicit, severity: high, action: block, directions: both, keywords: %s}"
POLICY = "max_check_characters: 20\nrules:\n- " + RULE % ("b", "[Bomb, ｂomb, acid]")


def test_equal_policies_give_equal_bytes() -> None:
    one = parse_policy({"p": f"rules:\n- {RULE % ('a', '[x, y]')}\n- {RULE % ('b', '[Z]')}"})
    other = parse_policy({"q": f"rules:\n- {RULE % ('b', '[z, ｚ]')}\n- {RULE % ('a', '[y, X]')}"})

    assert compile_policy(one) == compile_policy(other)
    assert compile_policy(one).digest == digest_of(compile_policy(one).content)


def test_a_bundle_judges_as_its_policy_and_names_its_digest() -> None:
    bundle = compile_policy(parse_policy({"p": POLICY}))
    verdict = CompiledPolicy.from_bundle(bundle.content, bundle.digest).check(
        "a bomb", Direction.INPUT
    )
    assert verdict.action is Action.BLOCK
    assert verdict.policy_digest == bundle.digest


def _changed(content: bytes, **changes: object) -> bytes:
    return json.dumps(json.loads(content) | changes).encode()


def test_what_is_not_a_canonical_bundle_of_this_format_is_refused() -> None:
    content = compile_policy(parse_policy({"p": POLICY})).content
    for wrong, part in [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not of format"),
        (_changed(content, format="modelmill.guard/0"), "not of format"),
        (_changed(content, policy={"rules": [3]}), "is not a mapping"),
        (_changed(content), "not canonical"),
        (content.replace(b'"bomb"', b'"Bomb"'), "not canonical"),
    ]:
        with pytest.raises(PolicyError, match=part):
            CompiledPolicy.from_bundle(wrong)


def test_a_bundle_announced_under_another_digest_is_refused() -> None:
    content = compile_policy(parse_policy({"p": POLICY})).content
    with pytest.raises(PolicyError, match="announced as sha256:0"):
        CompiledPolicy.from_bundle(content, "sha256:0")


def test_a_text_over_the_limit_is_refused_with_the_limit() -> None:
    compiled = CompiledPolicy.from_bundle(compile_policy(parse_policy({"p": POLICY})).content)
    assert compiled.check("x" * 20, Direction.INPUT).action is Action.ALLOW
    with pytest.raises(TextTooLongError, match="21 characters; the limit is 20"):
        compiled.check("x" * 21, Direction.INPUT)


def test_patterns_that_are_too_much_together_refuse_the_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("modelmill_guard.pattern._MAX_MEMORY_BYTES", 1 << 20)
    rules = [
        f"- {{id: r{n}, category: c, severity: low, action: block, directions: both,"
        f" pattern: '[a-z]{{1,150}}{n}'}}"
        for n in range(100)
    ]
    policy = parse_policy({"p": "rules:\n" + "\n".join(rules)})
    with pytest.raises(PolicyError, match=r"the patterns together: .* too large"):
        compile_policy(policy)


def test_a_policy_that_was_built_lately_is_not_built_again() -> None:
    bundle = compile_policy(parse_policy({"p": POLICY}))
    built = CompiledPolicy.from_bundle(bundle.content)
    assert CompiledPolicy.from_bundle(bundle.content, bundle.digest) is built

    for number in range(RecentPolicies.MOST):
        compile_policy(parse_policy({"p": POLICY.replace("acid", f"acid {number}")}))
    assert CompiledPolicy.from_bundle(bundle.content) is not built
