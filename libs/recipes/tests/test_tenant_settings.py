"""Policy and limits of a recipe are set once, and those that others set are left alone."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from modelmill_client import Modelmill
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.run_record import RunRecord
from modelmill_recipes.tenant_settings import TenantSettings
from modelmill_service_kit.errors import InvalidInputError

SETTINGS = """policy:
  files: rules.yaml
limits:
  requests_per_minute: 60
  money: "12.50"
"""


class Tenant:
    """What a gateway keeps of a tenant."""

    def __init__(self) -> None:
        self.policy: dict[str, Any] = {
            "tenant": "shared",
            "version": 1,
            "digest": "sha256:0",
            "changed_by": "us",
            "documents": [],
            "removed_default_rules": [],
        }
        self.limits: dict[str, Any] = dict.fromkeys(("requests_per_minute", "money", "tokens"))
        self.puts = 0

    def client(self) -> Modelmill:
        return Modelmill("http://gateway", "token", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        is_policy = request.url.path == "/v1/moderation/policy"
        if request.method == "PUT":
            self.puts += 1
            body = json.loads(request.read())
            if is_policy and "broken" in body["documents"][0]["text"]:
                error = {"message": "rules.yaml: line 1: no rule", "type": "invalid_request_error"}
                return httpx.Response(422, json={"error": error})
            if is_policy:
                own = {"tenant": "acme", "digest": f"sha256:{self.puts}"}
                self.policy |= {**own, "documents": body["documents"]}
            else:
                money = {"money": "12.5"} if "money" in body["limits"] else {}
                self.limits = dict.fromkeys(self.limits) | body["limits"] | money
        found = self.policy if is_policy else {"limits": self.limits, "changed_by": "ada"}
        return httpx.Response(200, json=found)


class Steps:
    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def kept(self, step: str, words: str) -> None:
        self.said[step] = "kept"

    def done(self, step: str, words: str) -> None:
        self.said[step] = "done"

    def left(self, step: str, words: str) -> None:
        self.said[step] = f"left: {words}"


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


def run(
    file: Path, tenant: Tenant, *, rules: str = "rules: []\n", also_others: bool = False
) -> dict[str, str]:
    (file.parent / "rules.yaml").write_text(rules)
    if "policy:" not in file.read_text():
        file.write_text(file.read_text() + SETTINGS)
    steps, record = Steps(), RunRecord.of(file.parent / "record", "x")
    with tenant.client() as client:
        TenantSettings(Recipe.load(file), client, record, steps)(also_others)
    return steps.said


def test_they_are_set_once_and_again_where_the_recipe_changes(
    recipe_file: Path, tenant: Tenant
) -> None:
    assert run(recipe_file, tenant) == {"policy": "done", "limits": "done"}
    assert run(recipe_file, tenant) == {"policy": "kept", "limits": "kept"}
    assert tenant.puts == 2
    recipe_file.write_text(recipe_file.read_text().replace("requests_per_minute: 60", "tokens: 9"))
    assert run(recipe_file, tenant, rules="rules: [x]\n") == {"policy": "done", "limits": "done"}
    assert tenant.limits["requests_per_minute"] is None


def test_what_somebody_else_set_is_left_until_it_is_said(recipe_file: Path, tenant: Tenant) -> None:
    run(recipe_file, tenant)
    tenant.policy |= {"documents": [{"name": "theirs.yaml", "text": ""}], "digest": "sha256:99"}
    tenant.limits["tokens"] = 5
    said = run(recipe_file, tenant)
    assert said["policy"].startswith("left: version 1 of us is in force")
    assert said["limits"].startswith("left: money 12.5, requests_per_minute 60, tokens 5 of ada")
    assert run(recipe_file, tenant, also_others=True) == {"policy": "done", "limits": "done"}


def test_a_policy_that_is_refused_names_the_line_of_the_recipe(
    recipe_file: Path, tenant: Tenant
) -> None:
    lines = recipe_file.read_text().count("\n")
    with pytest.raises(InvalidInputError, match=rf"wordnet.yaml:{lines + 1}: rules.yaml: line 1"):
        run(recipe_file, tenant, rules="broken\n")


def test_a_file_of_rules_that_is_missing_is_named_with_its_line(recipe_file: Path) -> None:
    recipe_file.write_text(recipe_file.read_text() + "policy: {files: [none.yaml]}\n")
    with pytest.raises(InvalidInputError, match=r"policy\.files: no file 'none\.yaml'"):
        Recipe.load(recipe_file)
