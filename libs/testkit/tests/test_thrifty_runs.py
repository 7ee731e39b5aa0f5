"""What the process of a test is set to, and those that it starts."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROPERTY = """
from collections import Counter
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
seen = Counter()
@given(st.integers())
def test_it(number): seen["plain"] += 1
@settings(max_examples=200)
@given(st.integers())
def test_it_often(number): seen["often"] += 1
class TestInAClass:
    @settings(max_examples=200)
    @given(st.integers())
    def test_it(self, number): seen["method"] += 1
class Machine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        seen["machine"] += 1
    @rule()
    def step(self): pass
Machine.TestCase.settings = settings(max_examples=200, derandomize=True)
TestMachine = Machine.TestCase
NAMES = ("plain", "often", "method", "machine")
def test_how_often(): print("examples:", *(seen[each] for each in NAMES))
"""


def test_garbage_of_tests_is_found_and_what_was_imported_before_is_left_alone() -> None:
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000


def test_threads_of_child_processes_wait_without_turning() -> None:
    script = "import os; print(os.environ['OMP_WAIT_POLICY'])"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert said.stdout.strip() == "PASSIVE", said.stderr


@pytest.mark.parametrize(
    ("options", "examples"),
    [
        (["--tier=quick"], "15 15 15 15"),
        (["--tier=check"], "25 25 25 25"),
        (["--tier=test"], "100 100 100 100"),
        (["--tier=test", "--all-examples"], "100 200 200 200"),
    ],
)
def test_a_property_is_tried_less_often_where_somebody_waits(
    tmp_path: Path, options: list[str], examples: str
) -> None:
    assert f"examples: {examples}" in said_by(PROPERTY, tmp_path, *options)


def said_by(tests: str, folder: Path, *options: str) -> str:
    (folder / "test_it.py").write_text(tests)
    plugins = [f"-pmodelmill_testkit.{name}" for name in ("tiers", "thrifty_runs")]
    command = [sys.executable, "-m", "pytest", "-s", "-c/dev/null", "-pno:cacheprovider", *plugins]
    run = subprocess.run(
        [*command, *options, "."], cwd=folder, capture_output=True, text=True, check=True
    )
    return run.stdout


DRAWN = """
from hypothesis import given, settings, strategies as st
drawn = []
@given(st.integers())
def test_it(number): drawn.append(number)
@settings(max_examples=300)
@given(st.integers())
def test_it_often(number): drawn.append(number)
def test_which(): print("drawn:", hash(tuple(drawn)))
"""


def drawn(folder: Path, *options: str) -> str:
    lines = said_by(DRAWN, folder, "--tier=test", *options).splitlines()
    return next(line for line in lines if "drawn:" in line)


def test_examples_of_a_tier_are_the_same_each_time_and_those_of_a_release_are_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    assert drawn(tmp_path) == drawn(tmp_path)
    assert drawn(tmp_path, "--all-examples") != drawn(tmp_path, "--all-examples")


def test_who_shares_tests_out_loads_no_fixtures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import os\nfrom pathlib import Path\n"
        "Path(f'loaded-by-{os.environ.get(\"PYTEST_XDIST_WORKER\")}').touch()\n"
    )
    (tmp_path / "test_it.py").write_text("def test_one(): pass\ndef test_two(): pass\n")
    command = [sys.executable, "-m", "pytest", "-c/dev/null", "-pno:cacheprovider", "."]
    plugin = "-pmodelmill_testkit.thrifty_runs"

    # This test may run in a worker itself.
    env = {name: it for name, it in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    loaders = {}
    for workers in ("-n2", "-n0"):
        run = [*command, plugin, workers]
        subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, check=True)
        loaders[workers] = {file.name for file in tmp_path.glob("loaded-by-*")}

    assert loaders["-n2"] == {"loaded-by-gw0", "loaded-by-gw1"}
    assert loaders["-n0"] - loaders["-n2"] == {"loaded-by-None"}


def test_processes_of_each_service_may_wait_a_minute_for_a_core() -> None:
    services = {each.parent.name for each in ROOT.glob("services/*/pyproject.toml")}
    assert {os.environ[f"{name.upper()}_BLOCKED_SECONDS"] for name in services} == {"60"}
