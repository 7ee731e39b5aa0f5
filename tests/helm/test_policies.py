"""Every rule is broken once by hand, and says so; the schemas, too."""

import copy
from typing import Any

import pytest

from tests.helm.planted import PLANTED, Plant, container, named, workload
from tests.helm.policies import POLICIES
from tests.helm.rendering import Manifest, profile, render
from tests.helm.schemas import schema_errors

GOOD: list[Manifest] = render(profile("gpu"))


@pytest.mark.parametrize(
    ("name", "plant"),
    [pytest.param(rule, plant, id=f"{rule}-{what}") for rule, what, plant in PLANTED],
)
def test_a_planted_violation_is_seen_by_its_rule(name: str, plant: Plant) -> None:
    manifests = copy.deepcopy(GOOD)
    plant(manifests)

    assert list(POLICIES[name](GOOD)) == []
    assert list(POLICIES[name](manifests)) != []


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _, _ in PLANTED} == set(POLICIES)


@pytest.mark.parametrize(
    ("kind", "end", "path"),
    [
        ("Deployment", "-gateway", ("spec", "template", "spec", "terminationGraceSeconds")),
        ("NetworkPolicy", "-gateway", ("spec", "ingres")),
        ("ScaledObject", "-inference", ("spec", "minReplicas")),
        ("Certificate", "-gateway", ("spec", "dnsName")),
        ("ServiceMonitor", "-modelmill", ("spec", "endpoint")),
        ("PrometheusRule", "-modelmill", ("spec", "groups", 0, "rules", 0, "expression")),
    ],
)
def test_a_misspelt_field_is_refused_by_its_schema(
    kind: str, end: str, path: tuple[str | int, ...]
) -> None:
    manifest = copy.deepcopy(named(GOOD, kind, end))
    assert schema_errors(manifest) == []

    place: Any = manifest
    for each in path[:-1]:
        place = place[each]
    place[path[-1]] = 1

    assert schema_errors(manifest) != []


def test_a_kind_without_a_schema_is_an_error() -> None:
    manifest = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}}

    assert schema_errors(manifest) == ["Thing/x: there is no schema of example.com/v1 Thing"]


def test_spot_machines_are_for_trainers_alone() -> None:
    spot = {"key": "modelmill.io/spot", "operator": "Exists", "effect": "NoSchedule"}
    tolerant = {
        each["metadata"]["labels"]["app.kubernetes.io/component"]
        for each in GOOD
        if each["kind"] in ("Deployment", "StatefulSet")
        and spot in each["spec"]["template"]["spec"].get("tolerations", ())
    }

    assert tolerant == {"trainer-work"}


def test_gpus_are_limits_and_requests_alike() -> None:
    resources = container(GOOD, "trainer-work")["resources"]

    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"


def test_each_component_is_a_workload_of_its_own() -> None:
    assert workload(GOOD, "trainer")["metadata"]["name"] == "mill-trainer"
    assert workload(GOOD, "trainer-work")["metadata"]["name"] == "mill-trainer-work"
