"""The pod of `helm test`: `mill doctor --pod`, with what it is told and the ways that it needs."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest
from modelmill_cli.doctor import broker_settings
from modelmill_cli.doctor.pod_settings import PREFIX, PodSettings
from modelmill_cli.main import run
from modelmill_service_kit.checks import found_by

from tests.helm.objects import containers, name_of, of_kind, pods
from tests.helm.planted import named
from tests.helm.rendering import Manifest, Values, merged, profile, render, table
from tests.helm.traffic import allowed

OWNED = ("moderation", "data-prep", "trainer", "optimizer-builder", "inference")
BUCKET: Values = {
    "artifacts": {"kind": "s3", "s3": {"url": "s3://b/p"}},
    "triton": {"enabled": False},
    "network": {"peers": {"bucket": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}},
}
OUTSIDE: Values = {
    "nats": {"address": "nats://bus:4222", "monitorAddress": "bus:8222"},
    "network": {"peers": {"natsOutside": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}},
}


def doctor(values: Values) -> Manifest:
    """The pod in a rendering."""
    pod: Manifest = named(render(values), "Pod", "-doctor")
    return pod


def told(pod: Manifest) -> Mapping[str, str]:
    """Its environment."""
    return {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}


def settings(pod: Manifest, monkeypatch: pytest.MonkeyPatch) -> PodSettings:
    """As the command reads them."""
    for name, value in told(pod).items():
        monkeypatch.setenv(name, value)
    return PodSettings()


@pytest.mark.parametrize("added", [{}, BUCKET, OUTSIDE], ids=["volume", "bucket", "outside"])
def test_each_variable_is_a_setting_and_what_is_required_is_there(
    added: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = doctor(merged(profile("gpu"), added))
    known = {f"{PREFIX}{name.upper()}" for name in PodSettings.model_fields}

    assert set(told(pod)) <= known
    it = settings(pod, monkeypatch)
    assert set(it.services) == {*OWNED}
    assert (it.artifacts_path is None) == (added is BUCKET)
    assert (it.broker_config_path is None) == (added is OUTSIDE)


def test_it_runs_once_as_a_test_in_an_image_that_has_mill() -> None:
    pod = doctor(profile("single"))
    container = pod["spec"]["containers"][0]

    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["restartPolicy"] == "Never"
    assert container["command"] == ["python", "-m", run.__module__, "doctor", "--pod"]
    assert container["image"].startswith("modelmill/data-prep@sha256:")


def test_it_asks_those_that_have_pods_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    lag = {"components": {"trainer-work": {"scaling": {"kind": "lag", "min": 0, "max": 1}}}}
    none = {"components": {"moderation": {"replicas": 0, "scaling": {"kind": "none"}}}}
    it = settings(doctor(merged(profile("single"), lag, none)), monkeypatch)

    assert set(table("components")) - set(it.pages) == {"trainer-work", "moderation"}
    assert set(it.services) == {*OWNED} - {"moderation"}


def test_its_ways_are_those_to_whom_it_asks_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifests = render(profile("single"))
    it = settings(named(manifests, "Pod", "-doctor"), monkeypatch)
    gateway = urlsplit(it.gateway_url)
    asked = [*it.services.values(), *it.pages.values(), gateway.netloc]
    needed = {(where.partition(":")[0], int(where.partition(":")[2])) for where in asked}

    ways = {
        (f"mill-{target}", port)
        for source, target, port in allowed(manifests, "egress")
        if source == "doctor"
    }
    assert ways == needed | {("mill-nats", 4222), ("mill-outside", 53)}
    services = {name_of(each) for each in of_kind(manifests, "Service")}
    assert {name for name, _ in needed} <= services
    assert not {each for each in allowed(manifests, "ingress") if each[1] == "doctor"}


def test_it_mounts_the_secrets_of_the_gateway_and_no_key_that_it_does_not_read() -> None:
    manifests = render(profile("single"))
    (pod,) = (each for each in pods(manifests) if each.name.endswith("-doctor"))
    items = {
        volume["name"]: [item["key"] for item in volume["secret"].get("items", ())]
        for volume in pod.spec["volumes"]
        if "secret" in volume
    }

    assert items == {"bus": ["gateway.nk"], "tls": [], "secrets": ["service-secret"]}
    mounts = {each["name"]: each for one in containers(pod) for each in one["volumeMounts"]}
    assert {name for name, each in mounts.items() if not each.get("readOnly")} == {"tmp"}


class Configured:
    """A broker of which only its configuration is known."""

    broker = None
    broker_problem = ""

    def __init__(self, text: str) -> None:
        self.broker_config: str | None = text


@pytest.mark.parametrize("name", ["single", "ha"])
def test_the_configuration_of_the_charts_own_broker_has_no_problem(name: str) -> None:
    config = named(render(profile(name)), "ConfigMap", "-nats")["data"]["nats.conf"]
    assert [*found_by(broker_settings.CHECKS, Configured(config))] == []

    lazy = config.replace("sync_interval: always", "")
    (found,) = found_by(broker_settings.CHECKS, Configured(lazy))
    assert found.check == "broker-sync"
