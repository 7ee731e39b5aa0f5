"""A policy of one's own on top of a default one: what stays, and what counts as removed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, as_yaml, compile_policy, expanded, policy_of
from modelmill_guard.layers import layered, removed_by
from modelmill_guard.policy import PolicyError, parse_policy
from modelmill_guard.verdict import Action, Direction

DEFAULT = """
rules:
- {id: fruit, category: c, severity: low, action: mask, directions: input,
   keywords: [forbidden fruit, 苹果], variants: [leet, pinyin]}
- {id: number, category: c, severity: low, action: mask, directions: both, pattern: 'n[0-9]{3}'}
- {id: mail, category: c, severity: low, action: flag, directions: both, detector: email}
judges:
- {id: outside, severity: low, action: mask, directions: input, threshold: 0.5, service: any,
   categories: {hate: hate}}
- {id: inside, severity: low, action: mask, directions: input, threshold: 0.5, classifier: safety,
   labels: {bad: hate, good: null}}
"""
IDS = ["fruit", "inside", "mail", "number", "outside"]
HIDDEN = {"fruit": "forbidden fruit", "number": "n123", "mail": "a@b.example"}


def policy(text):
    return parse_policy({"p.yaml": text})


def changed(line, **fields):
    """One default entry, written anew with other fields."""
    head = next(part for part in DEFAULT.split("\n- ") if part.startswith(f"{{id: {line},"))
    entry = head.partition("\njudges:")[0].rstrip().removesuffix("}")
    for name, value in fields.items():
        key = f"{name}: "
        if key in entry:
            before, _, after = entry.partition(key)
            depth, end = 0, len(after)
            for place, letter in enumerate(after):
                depth += (letter in "[{") - (letter in "]}")
                if letter == "," and depth == 0:
                    end = place
                    break
            entry = before + key + value + after[end:]
        else:
            entry += f", {key}{value}"
    kind = "judges" if "threshold" in head else "rules"
    return f"{kind}:\n- {entry}}}\n"


OURS = "rules:\n- {id: ours, category: c, severity: low, action: block, directions: both,"
OURS += " keywords: [blue heron]}\n"


def test_what_the_documents_do_not_speak_of_stays_in_force():
    both = layered(policy(OURS), policy(DEFAULT))
    assert (list(both.default_ids), both.removed) == (IDS, ())
    compiled = CompiledPolicy.from_bundle(compile_policy(both.policy).content)
    for rule, text in (*HIDDEN.items(), ("ours", "blue heron")):
        assert [match.rule_id for match in compiled.check(text, Direction.INPUT).matches] == [rule]


@given(st.sets(st.sampled_from(IDS)), st.sets(st.sampled_from(IDS)))
def test_default_rules_go_that_the_document_or_the_request_names_and_no_others(written, asked):
    own = OURS + f"remove_default_rules: [{', '.join(sorted(written))}]\n"
    both = layered(policy(own), policy(DEFAULT), asked)
    gone = written | asked
    assert both.removed == tuple(sorted(gone))
    assert both.default_ids == tuple(sorted({*IDS} - gone))
    ids = [entry.id for entry in (*both.policy.rules, *both.policy.judges)]
    assert sorted(ids) == sorted({"ours", *IDS} - gone)


def test_a_default_rule_that_is_written_again_stays_the_default_policys():
    both = layered(policy(DEFAULT), policy(DEFAULT))
    assert (list(both.default_ids), both.removed) == (IDS, ())
    assert compile_policy(both.policy) == compile_policy(policy(DEFAULT))


@pytest.mark.parametrize(
    ("entry", "fields"),
    [
        ("fruit", {"action": "block"}),
        ("fruit", {"directions": "both"}),
        ("fruit", {"keywords": "[forbidden fruit, 苹果, pear]"}),
        ("fruit", {"within_words": "true"}),
        ("fruit", {"variants": "[leet, pinyin, split]"}),
        ("number", {"severity": "high", "category": "other"}),
        ("mail", {"action": "mask"}),
        ("outside", {"threshold": "0.4"}),
        ("outside", {"action": "block"}),
    ],
)
def test_an_entry_that_finds_and_does_as_much_takes_the_place_of_a_default_one(entry, fields):
    both = layered(policy(changed(entry, **fields)), policy(DEFAULT))
    assert both.removed == ()
    assert entry not in both.default_ids


@pytest.mark.parametrize(
    ("entry", "fields"),
    [
        ("fruit", {"action": "flag"}),
        ("number", {"directions": "output"}),
        ("fruit", {"keywords": "[forbidden fruit]"}),
        ("fruit", {"variants": "[leet]"}),
        ("fruit", {"variants": "[pinyin]"}),
        ("number", {"pattern": "'n[0-9]{4}'"}),
        ("mail", {"detector": "iban"}),
        ("outside", {"threshold": "0.6"}),
        ("outside", {"on_failure": "open"}),
        ("outside", {"service": "other"}),
        ("outside", {"categories": "{spite: hate}"}),
        # The model behind the name is then the tenant's own.
        ("inside", {"threshold": "0.4"}),
    ],
)
def test_an_entry_that_finds_or_does_less_counts_as_a_removal(entry, fields):
    both = layered(policy(changed(entry, **fields)), policy(DEFAULT))
    assert both.removed == (entry,)
    assert entry not in both.default_ids


def test_a_rule_does_not_stand_for_a_judge_of_its_name():
    both = layered(policy(OURS.replace("ours", "outside")), policy(DEFAULT))
    assert both.removed == ("outside",)


@given(st.sets(st.sampled_from(IDS)))
def test_bundles_alone_tell_what_is_missing(gone):
    both = layered(policy(OURS), policy(DEFAULT), gone)
    bundle, default = compile_policy(both.policy), compile_policy(policy(DEFAULT))
    assert removed_by(policy_of(bundle.content), policy_of(default.content)) == both.removed


def test_documents_and_the_default_part_of_the_bundle_compile_to_it():
    own = "max_check_characters: 200000\n" + OURS + "remove_default_rules: [mail]\n"
    both = layered(policy(own), policy(DEFAULT))
    bundle = compile_policy(both.policy)
    part = as_yaml(bundle.content, only={*both.default_ids})
    assert compile_policy(parse_policy({"own": own, "default": part})) == bundle


def test_the_default_rules_count_against_what_a_policy_may_have():
    rule = "- {{id: r{n}, category: c, severity: low, action: flag, directions: both,"
    rule += " pattern: 'q{n}'}}"
    own = policy("rules:\n" + "\n".join(rule.format(n=n) for n in range(199)))
    with pytest.raises(PolicyError, match="together with the default rules: 201 rules"):
        layered(own, policy(DEFAULT))
    assert layered(own, policy(DEFAULT), ["mail"]).removed == ("mail",)


def test_weaker_is_never_as_strong_in_either_order():
    default = expanded(policy(DEFAULT))
    for rule in default.rules:
        for action in (Action.FLAG, Action.MASK, Action.BLOCK):
            other = replace(
                default,
                rules=tuple(replace(r, action=action) if r == rule else r for r in default.rules),
            )
            assert removed_by(other, default) == ((rule.id,) if action < rule.action else ())


def test_ids_to_remove_are_a_list_of_text():
    with pytest.raises(PolicyError, match="remove_default_rules must be a list"):
        policy("rules: []\nremove_default_rules: mail\n")
