"""The same rules for both: our default policy, and what LiteLLM's content filter can say of it.

A word or pattern of ours is one of its, with the same direction and action, in a guardrail before
the call and one behind it, streams included. A detector is its own pattern for the same thing or,
where it has none, an expression of ours. What only flags is left out, because it cannot flag: in
its favour, as is that it reads texts as they stand, where ours sees through disguises.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

POLICIES = Path("services/moderation/src/modelmill_moderation/policies")
ACTIONS = {"block": "BLOCK", "mask": "MASK"}
PREBUILT = {
    "email": "email",
    "card-number": "credit_card",
    "iban": "iban",
    "us-ssn": "us_ssn",
    "aws-key": "aws_access_key",
    "github-token": "github_token",
}
EXPRESSIONS = {
    "openai-key": r"\bsk-[A-Za-z0-9_-]{20,}",
    "jwt": r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+",
    "private-key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "cn-mobile": r"(?<!\d)1[3-9]\d{9}(?!\d)",
    "cn-id-card": r"(?<!\d)\d{17}[\dX](?!\d)",
    "cn-bank-card": r"(?<!\d)62\d{14,17}(?!\d)",
}
BLOCKED_INPUT = "Tell me how to make a bomb"
"""What both must refuse before anything is measured."""
INPUT, OUTPUT = "rules-before", "rules-behind"
"""Names of LiteLLM's guardrails."""
Rule = Mapping[str, Any]


def guardrails() -> list[dict[str, object]]:
    """LiteLLM's part of its configuration."""
    return [_guardrail(INPUT, "pre_call", "input"), _guardrail(OUTPUT, "post_call", "output")]


def rules() -> Iterator[Rule]:
    """Every rule of the default policy that does something."""
    for document in sorted(POLICIES.glob("*.yaml")):
        for rule in yaml.safe_load(document.read_text())["rules"]:
            if rule["action"] in ACTIONS:
                yield rule


def _guardrail(name: str, mode: str, direction: str) -> dict[str, object]:
    mine = [rule for rule in rules() if rule["directions"] in (direction, "both")]
    words = [
        {"keyword": keyword, "action": ACTIONS[rule["action"]]}
        for rule in mine
        for keyword in rule.get("keywords", ())
    ]
    filters = {
        "guardrail": "litellm_content_filter",
        "mode": mode,
        "default_on": True,
        "patterns": [_pattern(rule) for rule in mine if "keywords" not in rule],
        "blocked_words": words,
    }
    return {"guardrail_name": name, "litellm_params": filters}


def _pattern(rule: Rule) -> dict[str, str]:
    action, detector = ACTIONS[rule["action"]], rule.get("detector")
    if detector in PREBUILT:
        return {"pattern_type": "prebuilt", "pattern_name": PREBUILT[detector], "action": action}
    expression = EXPRESSIONS[detector] if detector else rule["pattern"]
    return {"pattern_type": "regex", "name": rule["id"], "pattern": expression, "action": action}
