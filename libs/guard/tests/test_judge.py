"""Judges in a policy: read with everything that is wrong, and part of what a digest names."""

import pytest
from modelmill_guard.bundle import CompiledPolicy, as_yaml, compile_policy
from modelmill_guard.judge import Opinion, Window
from modelmill_guard.policy import PolicyError, parse_policy
from modelmill_guard.verdict import Direction

POLICY = """
judges:
- {id: model, severity: high, action: block, directions: input, threshold: 0.8, classifier: safety,
   labels: {safe: null, weapons: illicit/violent}, instruction: "Safe?"}
- {id: service, severity: low, action: flag, directions: both, threshold: 1, service: outside,
   categories: {Hate: hate}, window: 50, on_failure: open}
"""


def test_judges_are_part_of_the_bundle_and_come_back_from_it() -> None:
    policy = parse_policy({"p": POLICY})
    bundle = compile_policy(policy)

    compiled = CompiledPolicy.from_bundle(bundle.content, bundle.digest)
    again = compile_policy(parse_policy({"p": as_yaml(bundle.content)}))

    assert compiled.judges(Direction.INPUT) == policy.judges
    assert [judge.id for judge in compiled.judges(Direction.OUTPUT)] == ["service"]
    assert again.digest == bundle.digest
    changed = compile_policy(parse_policy({"p": POLICY.replace("0.8", "0.7")}))
    assert changed.digest != bundle.digest


def test_a_category_matches_from_its_threshold_on_with_the_surest_score() -> None:
    (judge, _) = parse_policy({"p": POLICY}).judges
    window = Window(100, "before", "the text")

    said = [Opinion("b", 0.79), Opinion("a", 0.8), Opinion("a", 0.9)]
    (match,) = judge.matches(window, said)

    assert (match.category, match.score, match.start, match.end) == ("a", 0.9, 100, 108)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("threshold: 0.8", "threshold: 0"), "threshold must be"),
        (("threshold: 0.8", "threshold: true"), "threshold must be"),
        (("window: 50", "window: 49"), "window must be"),
        (("window: 50", "window: 50, beside: true"), "beside is for action block"),
        (("on_failure: open", "on_failure: maybe"), "on_failure must be one of closed, open"),
        (("weapons: illicit/violent", "weapons: null"), "labels must have one for what is safe"),
        (("categories: {Hate: hate}, ", ""), "categories must name those that count"),
        (("service: outside,", "service: outside, instruction: x,"), "instruction is for a"),
        (("service: outside,", "service: outside, classifier: x,"), "needs either a classifier"),
        (("service: outside,", "url: 'http://x',"), "unknown key 'url'"),
        (("id: service", "id: model"), "judge model: the id is used twice"),
        (("judges:", "when_unavailable: rules_only\njudges:"), "needs `on_failure: open`"),
    ],
)
def test_what_is_wrong_with_a_judge_is_said(change: tuple[str, str], error: str) -> None:
    with pytest.raises(PolicyError, match=error):
        parse_policy({"p": POLICY.replace(*change)})


def test_all_judges_errors_come_at_once() -> None:
    wrong = POLICY.replace("threshold: 0.8", "threshold: 2").replace("window: 50", "window: 9")
    with pytest.raises(PolicyError) as refused:
        parse_policy({"p": wrong})
    assert len(refused.value.errors) == 2
