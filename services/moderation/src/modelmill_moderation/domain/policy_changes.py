"""What one compiled policy has and another has not."""

import json
from dataclasses import dataclass
from typing import Any

_LISTS = ("rules", "judges")


@dataclass(frozen=True)
class PolicyChanges:
    """Ids of rules and judges, and keys of the policy itself, each list in order."""

    added_rules: tuple[str, ...]
    removed_rules: tuple[str, ...]
    changed_rules: tuple[str, ...]
    changed_settings: tuple[str, ...]


def changes_between(before: bytes, after: bytes) -> PolicyChanges:
    """Compare two bundles; empty bytes are a policy without rules."""
    old_rules, old_settings = _parts(before)
    new_rules, new_settings = _parts(after)
    both = old_rules.keys() & new_rules.keys()
    settings = old_settings.keys() | new_settings.keys()
    return PolicyChanges(
        added_rules=tuple(sorted(new_rules.keys() - old_rules.keys())),
        removed_rules=tuple(sorted(old_rules.keys() - new_rules.keys())),
        changed_rules=tuple(sorted(id for id in both if old_rules[id] != new_rules[id])),
        changed_settings=tuple(
            sorted(key for key in settings if old_settings.get(key) != new_settings.get(key))
        ),
    )


def _parts(bundle: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    policy = json.loads(bundle)["policy"] if bundle else {}
    # A judge is to its readers one more rule: ids are of both.
    rules = {rule["id"]: rule for rules in _LISTS for rule in policy.get(rules, ())}
    return rules, {key: value for key, value in policy.items() if key not in _LISTS}
