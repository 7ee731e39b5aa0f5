"""operators.helm.*: what the rendered chart is held to, into deploy/bench/operators.json.

    PYTHONPATH=build/helm/packages python -m tests.helm.keep [--keep]

`operators.helm.schema_errors` and `.policy_violations`: over each profile, bare and with 200
generated value sets laid upon it. `.render_differences`: files that differ between two renderings
of all these. `.planted_violations`: planted violations that their rule saw; the note lists rules.
"""

import copy
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.bench.figures import Entry, all_of
from tests.bench.kept_entries import run_groups
from tests.helm.planted import PLANTED
from tests.helm.policies import POLICIES, violations
from tests.helm.rendering import PROFILES, Values, objects_of, profile, render, render_text
from tests.helm.schemas import schema_errors
from tests.helm.value_sets import value_sets

RESULT = Path("deploy/bench/operators.json")
VALUE_SETS = 200
"""Upon each profile."""
ENGINES = ("helm-python-sdk", "kubernetes-validate")


def none_of(name: str, found: int, unit: str, note: str) -> Entry:
    """A count whose goal is 0."""
    return Entry(
        id=f"operators.helm.{name}",
        value=found,
        unit=unit,
        against="no rival",
        ratio=1.0,
        goal="0",
        met=found == 0,
        ci95=(0, 0),
        note=note,
    )


def generated(profile_name: str) -> list[Values]:
    """Distinct value sets laid upon a profile, others upon each."""
    found: list[Values] = []

    @seed([*PROFILES].index(profile_name))
    @settings(
        max_examples=2 * VALUE_SETS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(values=value_sets(profile(profile_name)))
    def collect(values: Values) -> None:
        if len(found) < VALUE_SETS and values not in found:
            found.append(values)

    collect()
    return found


def rendered_entries() -> list[Entry]:
    """Over all renderings."""
    sets = objects = wrong = differing = 0
    broken: Counter[str] = Counter()
    for name in PROFILES:
        for values in (profile(name), *generated(name)):
            sets += 1
            text = render_text(values)
            again = render_text(values)
            differing += sum(text[file] != again.get(file) for file in text)
            manifests = objects_of(text)
            objects += len(manifests)
            wrong += sum(len(schema_errors(each)) for each in manifests)
            broken.update(violations(manifests))
    engines = ", ".join(f"{name} {version(name)}" for name in ENGINES)
    what = (
        f"{len(PROFILES)} profiles, each bare and with {VALUE_SETS} generated value sets: "
        f"{sets} sets, {objects} objects; {engines}, strict"
    )
    return [
        none_of("schema_errors", wrong, "errors", what),
        none_of(
            "policy_violations",
            broken.total(),
            "violations",
            "; ".join([what, f"{len(POLICIES)} rules", *(it for it, _ in broken.most_common(5))]),
        ),
        none_of("render_differences", differing, "files", f"two renderings each; {what}"),
    ]


def planted_entries() -> list[Entry]:
    """Planted violations."""
    good = render(profile("gpu"))
    seen = 0
    for rule, _, plant in PLANTED:
        manifests = copy.deepcopy(good)
        plant(manifests)
        seen += bool(list(POLICIES[rule](manifests))) and not list(POLICIES[rule](good))
    name, rules = "operators.helm.planted_violations", ", ".join(sorted(POLICIES))
    return [all_of(name, seen, len(PLANTED), "violations", least=len(POLICIES), note=rules)]


def helm_entries() -> Sequence[Entry]:
    """All of them."""
    return [*rendered_entries(), *planted_entries()]


if __name__ == "__main__":
    sys.exit(run_groups("tests.helm.keep", {"helm": helm_entries}, RESULT))
