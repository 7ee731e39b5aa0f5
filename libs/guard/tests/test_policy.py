"""What a policy may say, and how it is told everything that is wrong with it."""

import json

import pytest
from modelmill_guard.policy import PolicyError, parse_policy, policy_from_objects
from modelmill_guard.rule import Severity
from modelmill_guard.verdict import Action, Direction


def rule(**changes: object) -> str:
    fields: dict[str, object] = {
        "id": "rule-1",
        "category": "illicit",
        "severity": "high",
        "action": "block",
        "directions": "both",
        "keywords": ["pipe bomb"],
    }
    fields |= changes
    lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items() if value is not None]
    return "rules:\n- " + "\n  ".join(lines)


def errors_of(text: str) -> list[str]:
    with pytest.raises(PolicyError) as refusal:
        parse_policy({"p.yaml": text})
    return refusal.value.errors


def test_a_policy_is_read_whole() -> None:
    policy = parse_policy({"p.yaml": "max_check_characters: 500\n" + rule()})

    (read,) = policy.rules
    assert (read.id, read.category, read.severity) == ("rule-1", "illicit", Severity.HIGH)
    assert (read.action, read.keywords, read.pattern) == (Action.BLOCK, ("pipe bomb",), None)
    assert read.directions == {Direction.INPUT, Direction.OUTPUT}
    assert not read.within_words
    assert policy.max_check_characters == 500


def test_documents_are_one_policy_with_the_smallest_limit() -> None:
    policy = parse_policy(
        {
            "a": "max_check_characters: 500\n" + rule(id="a"),
            "b": "max_check_characters: 400\n" + rule(id="b"),
        }
    )

    assert [read.id for read in policy.rules] == ["a", "b"]
    assert policy.max_check_characters == 400


def test_all_errors_of_all_documents_are_listed_at_once() -> None:
    with pytest.raises(PolicyError) as refusal:
        parse_policy(
            {
                "a": rule(id="Bad Id", action="delete", pattern="a+"),
                "b": "rules: [",
                "c": "limit: 5",
                "d": rule(id="twice"),
                "e": rule(id="twice"),
            }
        )

    text = "\n".join(refusal.value.errors)
    for part in (
        "a:2: rule Bad Id: id must be",
        "a:2: rule Bad Id: action must be one of flag, mask, block",
        "a:2: rule Bad Id: needs either keywords or a pattern",
        "a:2: rule Bad Id: pattern has no upper bound",
        "b:1: not YAML",
        "c:1: unknown key 'limit'",
        "c: `rules` must be a list",
        "rule twice: the id is used twice",
    ):
        assert part in text


def test_rules_alone_judge_only_where_every_document_that_says_so_agrees() -> None:
    alone, closed = (f"when_unavailable: {said}\n" for said in ("rules_only", "closed"))
    assert parse_policy({"a": rule()}).when_unavailable == "closed"
    assert parse_policy({"a": alone + rule(), "b": "rules: []"}).when_unavailable == "rules_only"
    assert parse_policy({"a": alone + rule(), "b": f"{closed}rules: []"}).when_unavailable == (
        "closed"
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("when_unavailable: open\n" + rule(), "when_unavailable must be one of closed, rules_only"),
        ("- 3", "p.yaml: a policy is a mapping"),
        ("rules: [3]", "rule 1: is not a mapping"),
        ("max_check_characters: true\n" + rule(), "max_check_characters must be a whole number"),
        ("max_check_characters: 0\n" + rule(), "max_check_characters must be a whole number"),
        (rule(keywords=None), "needs either keywords or a pattern"),
        (rule(keywords=[]), "keywords must be a list of at least one phrase"),
        (rule(keywords=[1]), "keyword 1 is not text"),
        (rule(keywords=["​ "]), "has no visible character"),
        (rule(keywords=["x" * 129]), "has 129 characters; the limit is 128"),
        (rule(within_words="yes"), "within_words must be true or false"),
        (rule(keywords=None, pattern="abc", within_words=True), "within_words is for keywords"),
        (rule(keywords=None, pattern=3), "pattern must be text"),
        (rule(colour="red"), "unknown key 'colour'"),
        (rule(severity="bad"), "severity must be one of low, medium, high, critical"),
        (rule(directions="out"), "directions must be one of input, output, both"),
        (rule(category=None), "category must be a word"),
        (rule(category="\ud800"), "category must be a word"),
        (rule(id="\ud800"), "id must be lower-case letters"),
    ],
)
def test_a_mistake_is_named_with_its_rule(text: str, part: str) -> None:
    assert part in "; ".join(errors_of(text))


def test_a_mistake_is_named_with_its_line_and_earlier_lines_come_first() -> None:
    wrong = "".join(f"- id: Bad{n}\n" for n in range(12))
    found = errors_of(f"# ours\nmax_check_characters: 0\n\nrules:\n{wrong}judges: 7\n")

    lines = [int(error.split(":")[1]) for error in found]
    assert all(error.startswith("p.yaml:") for error in found)
    assert lines == sorted(lines)
    assert set(lines) == {2, *range(5, 17), 17}


def test_a_bundle_has_no_lines() -> None:
    with pytest.raises(PolicyError) as refusal:
        policy_from_objects({"bundle": {"rules": [3]}})

    assert refusal.value.errors == ["bundle: rule 1: is not a mapping"]


def test_the_number_of_patterns_is_limited() -> None:
    rules = [rule(id=f"r{n}", keywords=None, pattern="ab").partition("\n")[2] for n in range(201)]
    assert errors_of("rules:\n" + "\n".join(rules)) == [
        "201 rules with a pattern or detector; the limit is 200"
    ]


@pytest.mark.parametrize("value", ["9" * 5_000, "2001-99-99"])
def test_a_value_that_yaml_cannot_read_is_an_error_of_its_document(value: str) -> None:
    (error,) = errors_of(f"max_check_characters: {value}")
    assert error.startswith("p.yaml: not YAML")
