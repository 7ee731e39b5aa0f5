"""`make quick` runs the tests that a change may break, and all where that cannot be told."""

import subprocess
from pathlib import Path

import pytest

from tests.changed import ROOT, changed_files, folders_to_test

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
        ("deploy/bench/defaults.json", set()),
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


def test_tests_of_a_package_are_nobody_elses() -> None:
    found = folders_to_test(ROOT, ["libs/service_kit/tests/test_errors.py"])

    assert set(found) == {"libs/service_kit"} | ACROSS


@pytest.mark.tier("test")
def test_changes_are_those_since_main_and_on_a_clean_main_those_of_its_last_commit(
    tmp_path: Path,
) -> None:
    def git(*arguments: str) -> None:
        author = ("-c", "user.name=ann", "-c", "user.email=ann@example.com")
        subprocess.run(["git", "-C", str(tmp_path), *author, *arguments], check=True)

    def commit(name: str) -> None:
        (tmp_path / name).write_text(name)
        git("add", name)
        git("commit", "-q", "-m", f"Add {name}")

    assert changed_files(tmp_path) is None
    git("init", "-q", "-b", "main")
    commit("first")
    assert changed_files(tmp_path) is None
    commit("last")
    assert changed_files(tmp_path) == ["last"]
    git("checkout", "-q", "-b", "branch")
    commit("committed")
    (tmp_path / "first").write_text("changed")
    (tmp_path / "new").touch()

    assert changed_files(tmp_path) == ["committed", "first", "new"]
