"""`make quick` runs the tests that a change may break, and all where that cannot be told."""

import pytest

from tests.changed import ROOT, folders_to_test

EVERYTHING = folders_to_test(ROOT, None)
ACROSS = {path for path in EVERYTHING if path.startswith("tests/")}


@pytest.mark.parametrize(
    "changed",
    [
        [],
        ["pyproject.toml"],
        ["tests/changed.py"],
        ["proto/modelmill/jobs/v1/job.proto", "README.md"],
        ["libs/testkit/src/modelmill_testkit/waiting.py"],
        ["services/gateway/src/modelmill_gateway/main.py", "Makefile"],
    ],
)
def test_what_everything_depends_on_and_no_change_run_everything(changed: list[str]) -> None:
    assert folders_to_test(ROOT, changed) == EVERYTHING


@pytest.mark.parametrize(
    ("changed", "packages"),
    [
        ("services/gateway/tests/test_chat.py", {"services/gateway"}),
        ("libs/cli/src/modelmill_cli/app.py", {"libs/cli"}),
        ("docs/promises.md", set()),
        ("tests/guard/house.py", set()),
    ],
)
def test_a_package_is_tested_with_what_depends_on_it_and_what_goes_across(
    changed: str, packages: set[str]
) -> None:
    found = set(folders_to_test(ROOT, [changed]))

    assert found >= packages | ACROSS
    unrelated = {"services/gateway", "libs/guard", "libs/cli"} - packages
    assert not found & unrelated


def test_what_depends_on_a_dependent_is_tested_too() -> None:
    # The gateway names the registry, and the registry names jobs.
    found = folders_to_test(ROOT, ["libs/service_kit/src/modelmill_service_kit/errors.py"])

    assert {"libs/jobs", "libs/registry", "services/gateway", "services/inference"} <= set(found)
