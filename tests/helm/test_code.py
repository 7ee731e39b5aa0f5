"""The chart's tables say what the code does: who calls whom, who is on the bus, what is set."""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

import pytest
from modelmill_bus.permissions import DEPLOY, identities
from modelmill_bus.subjects import STREAMS
from modelmill_service_kit.settings import ServiceSettings
from modelmill_trainer.launching.train_job import train_job
from modelmill_trainer.settings import Settings as TrainerSettings

from tests.helm.objects import containers, pods
from tests.helm.rendering import merged, profile, render, table
from tests.helm.schemas import schema_errors
from tests.helm.traffic import allowed

SERVICES = ("gateway", "moderation", "data-prep", "trainer", "optimizer-builder", "inference")
PEOPLE = {"cli", "observer", "backup"}
"""On the bus, but from outside of the cluster or by a policy of the operator's own."""
OUTSIDERS = {"clients", "doctor"}
"""Who calls, and is no service: clients of the gateway, the pod of `helm test`."""
SERVICE_OF: Mapping[str, str] = {
    name: each["service"] for name, each in table("components").items()
}


def module(service: str, name: str) -> ModuleType:
    """A module of a service."""
    return import_module(f"modelmill_{service.replace('-', '_')}.{name}")


def edges(port: int) -> set[tuple[str, str]]:
    """Rows of the table to a port, as components."""
    return {
        (source, target)
        for edge in table("edges")["edges"]
        for source in edge["from"]
        for target in edge["to"]
        if edge.get("port") == port
    }


def test_calls_in_the_table_are_those_that_services_let_in() -> None:
    let_in = {
        (caller, service)
        for service in SERVICES
        for caller in getattr(module(service, "main"), "CALLERS", ())
    }

    listed = {
        (SERVICE_OF[source], SERVICE_OF[target])
        for source, target in edges(50051)
        if source not in OUTSIDERS
    }
    assert listed == let_in


def test_whoever_is_on_the_bus_reaches_it_and_nobody_else() -> None:
    of_code = set(identities()) - PEOPLE - {DEPLOY}

    sources = {source for source, target in edges(4222) if target == "nats"}
    assert sources >= {"streams", "doctor"}
    assert {SERVICE_OF[each] for each in sources - {"streams", "doctor"}} == of_code
    assert sources - {"streams", "doctor"} == set(SERVICE_OF)


def test_traffic_of_a_rendering_is_the_rows_that_hold() -> None:
    manifests = render(profile("gpu"))

    inside = {pod.labels["app.kubernetes.io/component"] for pod in pods(manifests)}
    rendered = {each for each in allowed(manifests, "egress") if {each[0], each[1]} <= inside}
    assert {(source, target, port) for source, target, port in rendered if port == 50051} == {
        (source, target, 50051) for source, target in edges(50051) if source != "clients"
    }
    assert {each for each in rendered if each[2] != 50051} == (
        {(source, "nats", 4222) for source in (*SERVICE_OF, "streams", "doctor")}
        | {("nats", "nats", 6222), ("inference", "triton", 8001), ("doctor", "gateway", 8080)}
        | {("doctor", component, 9090) for component in SERVICE_OF}
    )


def test_consumers_that_scale_workers_are_all_that_share_jobs_out() -> None:
    of_code = {
        (durable.reader, stream.name, durable.name)
        for stream in STREAMS
        for durable in stream.consumers
        if "-work-" in durable.name
    }

    of_chart = {
        (each["service"], one["stream"], one["consumer"])
        for each in table("components").values()
        for one in each.get("consumers", ())
    }
    assert of_chart == of_code


@pytest.mark.parametrize(
    "added",
    [
        {},
        {"trainJob": {"enabled": True}},
        {"monitoring": {"gatewayAsks": True}},
        {"ray": {"address": "ray://h:1"}, "traces": {"endpoint": "http://c:4317"}},
        {"vllm": {"enabled": True, "model": "m"}},
    ],
    ids=["plain", "trainJob", "gatewayAsks", "ray", "vllm"],
)
def test_every_variable_is_a_setting_and_what_is_required_is_set(added: dict[str, object]) -> None:
    peers = {name: [{"namespaceSelector": {}}] for name in ("apiServer", "ray")}
    values = merged(profile("gpu"), added, {"network": {"peers": peers}})
    for pod in pods(render(values)):
        component = pod.labels["app.kubernetes.io/component"]
        if component not in SERVICE_OF:
            continue
        kind: type[ServiceSettings] = module(SERVICE_OF[component], "settings").Settings
        prefix = str(kind.model_config["env_prefix"])
        given = {each["name"] for one in containers(pod) for each in one["env"]}
        known = {f"{prefix}{name}".upper() for name in kind.model_fields}
        own = {name for name in given if name.startswith(prefix)}

        assert {name.removesuffix("_FILE") for name in own - known} <= known, component
        required = {
            f"{prefix}{name}".upper()
            for name, field in kind.model_fields.items()
            if field.is_required()
        }
        assert {name for name in required if not {name, f"{name}_FILE"} & own} == set(), component


def test_a_train_job_of_the_trainer_is_one_of_kubeflow() -> None:
    values = {
        "launcher": "kubernetes",
        "kubernetes_image": "modelmill/trainer-ranks@sha256:0",
        "kubernetes_claim": "mill-artifacts",
    }
    cluster = TrainerSettings.model_construct(**values).cluster()
    assert cluster is not None
    manifest = train_job("mill-1", cluster, ranks=4, channel="/var/lib/modelmill/channel")
    # The models take quantities as objects of their own.
    del manifest["spec"]["trainer"]["resourcesPerNode"]

    assert schema_errors(manifest) == []
    manifest["spec"]["trainer"]["numNode"] = 2
    assert schema_errors(manifest) != []
