"""`docker-compose.yml`: no container is killed within the time that its service takes to end."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from modelmill_jobs.active import STORE_AT_STOP_SECONDS
from modelmill_service_kit.settings import EndingSettings

ROOT = Path(__file__).parents[2]
OURS = ("gateway", "moderation", "data-prep", "trainer", "optimizer-builder", "inference")
WORKERS = ("gateway", "data-prep", "trainer", "optimizer-builder")
SECONDS_OF = {"h": 3600, "m": 60, "s": 1}


@cache
def services() -> Mapping[str, Any]:
    """By name, of all compose files; what the others say goes before."""
    found: dict[str, Any] = {}
    for file in (ROOT / "docker-compose.yml", *sorted((ROOT / "deploy/compose").glob("*.yml"))):
        for name, service in yaml.safe_load(file.read_text())["services"].items():
            before = found.get(name, {})
            variables = before.get("environment", {}) | service.get("environment", {})
            found[name] = {**before, **service, "environment": variables}
    return found


def grace_seconds(name: str) -> int:
    """How long compose waits before it kills the container: 10 s where nothing is said."""
    stated = services()[name].get("stop_grace_period", "10s")
    assert re.fullmatch(r"(\d+[hms])+", stated), f"{name}: {stated}"
    return sum(int(n) * SECONDS_OF[unit] for n, unit in re.findall(r"(\d+)([hms])", stated))


def ending_of(name: str) -> EndingSettings:
    """How the service ends with what the compose file tells it."""
    prefix = f"{name.replace('-', '_').upper()}_"
    told = services()[name]["environment"]
    named = {field: f"{prefix}{field.upper()}" for field in EndingSettings.model_fields}
    return EndingSettings.model_validate({f: told[it] for f, it in named.items() if it in told})


def test_the_six_services_are_those_that_have_a_bus_identity_and_stay():
    with_identity = {name for name, it in services().items() if "mtls:" in str(it)} | {"gateway"}
    assert with_identity == {*OURS}


@pytest.mark.parametrize("name", OURS)
def test_compose_waits_for_longer_than_a_service_takes_to_end(name: str):
    longest = ending_of(name).longest_end_seconds
    assert grace_seconds(name) > longest, f"{name} may take {longest:g} s to end"


@pytest.mark.parametrize("name", WORKERS)
def test_compose_waits_until_a_job_has_stored_its_checkpoint(name: str):
    assert grace_seconds(name) > STORE_AT_STOP_SECONDS


def test_compose_waits_for_longer_than_triton_takes_to_end():
    script = (ROOT / "deploy" / "triton" / "serve.py").read_text()
    (stated,) = re.findall(r"^EXIT_SECONDS = (\d+)$", script, re.MULTILINE)
    assert grace_seconds("triton") > int(stated)


def test_whatever_stays_says_how_long_its_end_may_take():
    staying = {name for name, it in services().items() if it.get("restart") == "unless-stopped"}
    assert staying >= {*OURS, "nats", "triton", "otel-collector", "prometheus", "grafana"}
    assert {name for name in staying if "stop_grace_period" not in services()[name]} == set()
