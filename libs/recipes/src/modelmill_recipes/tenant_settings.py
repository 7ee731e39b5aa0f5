"""What a recipe sets for the whole tenant before its model is served: moderation policy, limits.

As with aliases, what somebody else has set is theirs: it is left as it is unless the run is told.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, cast

from modelmill_client import Modelmill, types

from modelmill_recipes.api import StepView
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.refusals import in_section
from modelmill_recipes.run_record import RunRecord

POLICY, LIMITS = "policy", "limits"
RECORDED = {POLICY: "/policy", LIMITS: "/limits"}
"""Names in the record, which no alias can have."""


class TenantSettings:
    """Sets what differs.

    Args:
        record: Where earlier runs of the recipe set them.
    """

    def __init__(
        self, recipe: Recipe, client: Modelmill, record: RunRecord, view: StepView
    ) -> None:
        self._recipe = recipe
        self._client = client
        self._record = record
        self._view = view

    def __call__(self, also_others: bool) -> None:
        """Set those that the recipe has.

        Args:
            also_others: Also where no run of the recipe set what is in force.

        Raises:
            InvalidInputError: The API refuses it; with the line in the recipe.
            ModelmillError: The gateway is away, or the caller may not.
        """
        if self._recipe.policy is not None:
            self._set_policy(policy_of(self._recipe), also_others)
        if self._recipe.limits is not None:
            self._set_limits(self._recipe.limits, also_others)

    def _set_policy(self, wanted: types.PolicyBody, also_others: bool) -> None:
        found = self._client.policies.retrieve()
        digest = found["digest"] or ""
        if has_policy(found, wanted):
            self._view.kept(POLICY, digest)
        elif self._is_theirs(POLICY, "" if found["tenant"] == SHARED else digest, also_others):
            self._leave(POLICY, f"version {found['version']}", found["changed_by"])
        else:
            with in_section(self._recipe, POLICY):
                made = self._client.policies.set(**wanted)
            self._put(POLICY, made["digest"] or "")

    def _set_limits(self, wanted: Mapping[str, Any], also_others: bool) -> None:
        found = self._client.budget.retrieve()
        now = limit_words(found["limits"])
        if now == limit_words(wanted):
            self._view.kept(LIMITS, now)
        elif self._is_theirs(LIMITS, now, also_others):
            self._leave(LIMITS, now, found["changed_by"])
        else:
            with in_section(self._recipe, LIMITS):
                made = self._client.budget.set(limits=cast(types.LimitsBody, dict(wanted)))
            self._put(LIMITS, limit_words(made["limits"]))

    def _is_theirs(self, step: str, now: str, also_others: bool) -> bool:
        return bool(now) and not also_others and now != self._record.moved(RECORDED[step])[1]

    def _leave(self, step: str, now: str, by: str) -> None:
        said = f"{now} of {by} is in force, which no run of this recipe set. `--move-alias` sets it"
        self._view.left(step, said)

    def _put(self, step: str, now: str) -> None:
        self._record.move(RECORDED[step], "", now)
        self._view.done(step, now)


SHARED = "shared"


def policy_of(recipe: Recipe) -> types.PolicyBody:
    """The body that puts a recipe's policy in force."""
    documents: list[types.PolicyDocumentBody] = [
        {"name": file.name, "text": file.read_text(encoding="utf-8")}
        for file in recipe.policy_files
    ]
    removed = (recipe.policy or {}).get("remove_default_rules") or []
    return {"documents": documents, "remove_default_rules": removed}


def has_policy(found: types.Policy, wanted: types.PolicyBody) -> bool:
    """Whether it is in force. Documents are compared as they are written."""
    documents = [(each["name"], each["text"]) for each in wanted["documents"]]
    removed = {*wanted.get("remove_default_rules", ())}
    is_same = [(each["name"], each["text"]) for each in found["documents"]] == documents
    return found["tenant"] != SHARED and is_same and removed <= {*found["removed_default_rules"]}


def limit_words(limits: Mapping[str, Any]) -> str:
    """Limits for people, and to be compared; empty of none."""
    return ", ".join(_each_limit(limits))


def _each_limit(limits: Mapping[str, Any]) -> Iterator[str]:
    for name, value in sorted(limits.items()):
        if value is not None:
            shown = f"{Decimal(value).normalize():f}" if name == "money" else value
            yield f"{name} {shown}"
