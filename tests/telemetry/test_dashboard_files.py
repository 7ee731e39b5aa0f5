"""What every dashboard and rule file owes its reader, without anything running."""

import shutil
import subprocess

import pytest

from tests.telemetry.alert_rules import alerts
from tests.telemetry.dashboards import FILES, queries, read
from tests.telemetry.prometheus_server import DEPLOYED

NAMES = (
    *("overview", "gateway", "inference", "training", "data", "moderation", "jobs", "cost"),
    "machines",
)
TITLES = {f"Modelmill: {name}" for name in NAMES}


def test_the_dashboards_are_there_under_names_of_their_own():
    dashboards = [read(file) for file in FILES]
    assert {dashboard["title"] for dashboard in dashboards} == TITLES
    assert [dashboard["uid"] for dashboard in dashboards] == [file.stem for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_panel_says_what_it_shows_in_which_unit_and_names_its_lines(file):
    for panel in read(file)["panels"]:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["options"]["legend"]["displayMode"] in ("list", "table"), panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_panels_lie_beside_each_other(file):
    taken = set()
    for panel in read(file)["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert all(0 <= x < 24 for x, _ in cells), panel["title"]
        assert not taken & cells, panel["title"]
        taken |= cells


def test_no_variable_is_left_in_a_query():
    assert not [str(query) for query in queries() if "$" in query.expression]


def test_each_alert_says_what_is_wrong_and_what_to_do():
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert set(rule["annotations"]) == {"summary", "action", "runbook_url"}, name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's prometheus is not installed")
@pytest.mark.parametrize(
    "check",
    [
        ("config", "--syntax-only", "prometheus.yml"),
        ("rules", "--lint-fatal", "alerts.yml"),
        ("rules", "--lint-fatal", "slo.yml"),
    ],
    ids=lambda check: check[2],
)
def test_promtool_accepts_what_we_deploy(check):
    kind, option, file = check
    done = subprocess.run(
        ["promtool", "check", kind, option, str(DEPLOYED / file)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
