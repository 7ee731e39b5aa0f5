"""Every alert waits, fires and resolves in promtool's units, and has a runbook."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.telemetry.alert_rules import RUNBOOKS, alerts, page_of
from tests.telemetry.alert_units import UNITS, write_units
from tests.telemetry.runbooks import INDEX, index_text

SECTIONS = ["What it means", "How to see it", "What to do", "When it resolves"]
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="Debian's prometheus is not installed"
)


def test_each_alert_has_a_unit():
    assert UNITS.keys() == alerts().keys()


@needs_promtool
@pytest.mark.parametrize("name", UNITS)
def test_an_alert_waits_then_fires_and_resolves(name: str, tmp_path: Path):
    file = write_units(tmp_path, [name])
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", alerts())
def test_the_runbook_of_an_alert_says_what_it_means_and_what_to_do(name: str):
    text = page_of(alerts()[name]).read_text("utf-8")
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    bodies = re.split(r"^#.*$", text, flags=re.MULTILINE)[2:]
    assert all(len(body.split()) >= 5 for body in bodies)


def test_no_runbook_is_left_of_an_alert_that_is_gone():
    pages = {page_of(rule) for rule in alerts().values()}
    assert {*RUNBOOKS.glob("*.md")} == pages | {INDEX}


def test_the_index_of_runbooks_lists_what_there_is():
    assert INDEX.read_text("utf-8") == index_text(), "run python -m tests.telemetry.runbooks"
