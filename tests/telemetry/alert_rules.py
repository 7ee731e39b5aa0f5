"""The committed alerts, and the runbook page of each."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.telemetry.prometheus_server import DEPLOYED

RULE_FILES = tuple(DEPLOYED / name for name in ("alerts.yml", "slo.yml"))
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
DOCS = "{{ $externalLabels.docs }}/"
"""The beginning of a runbook's address: the site of the documentation, as prometheus.yml says."""


def alerts() -> Mapping[str, dict[str, Any]]:
    """Each alert by its name."""
    groups = [group for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"]]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return {rule["alert"]: rule for rule in rules}


def page_of(rule: Mapping[str, Any]) -> Path:
    """The document that the alert's address leads to; the site makes a folder of each."""
    address = rule["annotations"]["runbook_url"]
    assert address.startswith(DOCS), address
    name = re.fullmatch(r"runbooks/([a-z-]+)/", address.removeprefix(DOCS))
    assert name is not None, address
    return RUNBOOKS / f"{name[1]}.md"
