"""Layered policies: a tenant's own on top of the default policy, whose rules stay in force.

An entry (rule or judge) of one's own takes the place of the default one with the same id. Where it
finds less than that, or does less about it, the default rule counts as removed.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from modelmill_guard.bundle import expanded
from modelmill_guard.judge import Judge, OnFailure
from modelmill_guard.policy import Policy, PolicyError, wrong_together
from modelmill_guard.rule import Rule

Entry = Rule | Judge


@dataclass(frozen=True)
class Layered:
    """What judges, and what of it is whose."""

    policy: Policy
    default_ids: tuple[str, ...]
    """Rules and judges of the default policy that are in it as they are there, in order."""
    removed: tuple[str, ...]
    """Rules and judges of the default policy that are not in it, or only weaker, in order."""


def layered(own: Policy, default: Policy, removing: Collection[str] = ()) -> Layered:
    """The own policy, and beside it what it leaves of the default one.

    The settings are the own policy's.

    Args:
        removing: ids of default rules and judges to leave out, beyond those that `own` names.

    Raises:
        PolicyError: together they are more than a policy may have.
    """
    own, default = expanded(own), expanded(default)
    ours = dict(_entries(own))
    gone = {*removing, *own.remove_default_rules}
    kept = {id for id, entry in _entries(default) if ours.get(id, entry) == entry}
    kept -= gone - ours.keys()
    both = replace(
        own,
        rules=(*own.rules, *(each for each in default.rules if each.id in kept - ours.keys())),
        judges=(*own.judges, *(each for each in default.judges if each.id in kept - ours.keys())),
    )
    if wrong := [f"together with the default rules: {error}" for error in wrong_together(both)]:
        raise PolicyError(wrong)
    return Layered(both, tuple(sorted(kept)), removed_by(both, default))


def removed_by(policy: Policy, default: Policy) -> tuple[str, ...]:
    """Default rules and judges that the policy does not have, or only weaker, in order.

    Both policies are expanded, as those of bundles are.
    """
    present = dict(_entries(policy))
    return tuple(
        sorted(id for id, entry in _entries(default) if not _holds(present.get(id), entry))
    )


def entry_ids(policy: Policy) -> frozenset[str]:
    """Ids of the rules and judges of a policy."""
    return frozenset(id for id, _ in _entries(policy))


def _entries(policy: Policy) -> Iterator[tuple[str, Entry]]:
    yield from ((rule.id, rule) for rule in policy.rules)
    yield from ((judge.id, judge) for judge in policy.judges)


def _holds(present: Entry | None, default: Entry) -> bool:
    """Whether what is there finds and does at least what the default entry would."""
    if isinstance(present, Rule) and isinstance(default, Rule):
        return (
            present.action >= default.action
            and present.directions >= default.directions
            and (present.pattern, present.detector) == (default.pattern, default.detector)
            and set(present.keywords) >= set(default.keywords)
            and set(present.variants) >= set(default.variants)
            and present.within_words >= default.within_words
        )
    if isinstance(present, Judge) and isinstance(default, Judge):
        return present == default or (
            _same_service(present, default) and _stricter(present, default)
        )
    return False


def _same_service(present: Judge, default: Judge) -> bool:
    # An alias is its policy's owner's: the same name on another policy may be another model.
    return default.service is not None and (
        (present.service, present.window, present.categories)
        == (default.service, default.window, default.categories)
    )


def _stricter(present: Judge, default: Judge) -> bool:
    return (
        present.action >= default.action
        and present.directions >= default.directions
        and present.threshold <= default.threshold
        and present.beside <= default.beside
        and present.on_failure in (OnFailure.CLOSED, default.on_failure)
    )
