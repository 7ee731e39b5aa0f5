"""operators.helm.*: what the rendered chart is held to, into deploy/bench/operators.json.

    PYTHONPATH=build/helm/packages python -m tests.helm.keep [--keep]

`operators.helm.schema_errors` and `.policy_violations`: over all profiles and 200 generated value
sets. `.planted_violations`: the share of planted violations that their rule saw; the note lists
the rules. `.render_differences`: files that differ between two renderings of the profiles.
"""

import copy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from tests.bench.figures import Entry
from tests.bench.kept_entries import run_groups
from tests.helm.planted import PLANTED
from tests.helm.policies import POLICIES, violations
from tests.helm.rendering import PROFILES, Values, chart, profile, render, render_text
from tests.helm.schemas import VERSION, schema_errors
from tests.helm.value_sets import value_sets

RESULT = Path("deploy/bench/operators.json")
VALUE_SETS = 200


def entry(name: str, value: float, unit: str, goal: float, note: str) -> Entry:
    """A line with a goal that is met by equality; there is nothing to divide by."""
    return Entry(
        id=f"operators.helm.{name}",
        value=value,
        unit=unit,
        against="none",
        ratio=1.0,
        goal=f"= {goal:g} {unit}",
        met=value == goal,
        ci95=(1.0, 1.0),
        note=note,
    )


def generated() -> list[Values]:
    """Distinct value sets over the schema."""
    found: list[Values] = []

    @settings(
        max_examples=2 * VALUE_SETS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(values=value_sets(chart().values))
    def collect(values: Values) -> None:
        if len(found) < VALUE_SETS and values not in found:
            found.append(values)

    collect()
    return found


def chart_lines() -> Iterator[Entry]:
    """The chart's own figures."""
    value_sets_tried = generated()
    objects = errors = broken = 0
    for values in (*map(profile, PROFILES), *value_sets_tried):
        manifests = render(values)
        objects += len(manifests)
        errors += sum(len(schema_errors(each)) for each in manifests)
        broken += len(violations(manifests))
    of_what = (
        f"{len(PROFILES)} profiles and {len(value_sets_tried)} generated value sets, "
        f"{objects} objects, Helm's engine, schemas of Kubernetes {VERSION}, strict"
    )
    yield entry("schema_errors", errors, "errors", 0, of_what)
    yield entry("policy_violations", broken, "violations", 0, f"{of_what}; {len(POLICIES)} rules")
    yield _planted()
    differing = sum(
        render_text(profile(name))[file] != text
        for name in PROFILES
        for file, text in render_text(profile(name)).items()
    )
    yield entry("render_differences", differing, "files", 0, "two renderings of each profile")


def _planted() -> Entry:
    good = render(profile("gpu"))
    seen = 0
    for rule, _, plant in PLANTED:
        manifests = copy.deepcopy(good)
        plant(manifests)
        seen += bool(list(POLICIES[rule](manifests))) and not list(POLICIES[rule](good))
    note = f"{seen} of {len(PLANTED)}: " + ", ".join(sorted(POLICIES))
    return entry("planted_violations", seen / len(PLANTED), "share seen", 1, note)


def group() -> Sequence[Entry]:
    """All entries."""
    return list(chart_lines())


if __name__ == "__main__":
    sys.exit(run_groups("tests.helm.keep", {"chart": group}, RESULT))
