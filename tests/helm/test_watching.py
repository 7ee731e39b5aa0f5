"""Rules and dashboards of a release are the committed ones, asked of that release alone."""

import copy
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.objects import containers, name_of, of_kind, pods
from tests.helm.rendering import NAMESPACE, RELEASE, Manifest, Values, merged, profile, render
from tests.helm.traffic import COMPONENT, allowed, traffic_errors
from tests.telemetry.alert_rules import RULE_FILES
from tests.telemetry.alert_units import write_units
from tests.telemetry.dashboards import FILES, read

OWN = {"namespace": NAMESPACE, "app_kubernetes_io_instance": RELEASE}
UNITS_TRIED = ("GatewayErrors", "ServiceAway", "ChatAvailabilityBurnsFast")
"""One summed up, one of each target, one by recorded series; what all ask is compared as text."""
DOCS = "https://models.example.com/docs"
NOT_OURS = {
    "matchExpressions": [
        {"key": "app.kubernetes.io/name", "operator": "NotIn", "values": ["modelmill"]}
    ]
}
PROMETHEUS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "metrics"}}}
"""Where it is, as a peer of a NetworkPolicy."""


def ruled(**values: str) -> Any:
    """The spec of the PrometheusRule."""
    added: Values = {"monitoring": {"rules": values}}
    (found,) = of_kind(render(merged(profile("ha"), added)), "PrometheusRule")
    return found["spec"]


def config_maps(**place: str) -> list[Manifest]:
    """Those of dashboards."""
    found = of_kind(render(profile("ha"), **place), "ConfigMap")
    return [each for each in found if "-dashboard-" in name_of(each)]


def shown(**place: str) -> Mapping[str, Any]:
    """Dashboards by file."""
    files = [one for each in config_maps(**place) for one in each["data"].items()]
    return {file: json.loads(text) for file, text in files}


def asked(dashboard: Any) -> Iterator[str]:
    """All that a dashboard asks Prometheus, with an interval in place of Grafana's variable."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m")
    for variable in dashboard["templating"]["list"]:
        assert variable["query"]["query"] == variable["definition"]
        # label_values(METRIC, LABEL) of Grafana.
        yield variable["definition"].removeprefix("label_values(").rpartition(",")[0]


def promtool(*arguments: str) -> str:
    """What it prints."""
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def labelled(expressions: list[str]) -> str:
    """By promtool, which knows PromQL: every selector with the labels of the release."""
    query = " or ".join(f"({each})" for each in expressions)
    for name, value in OWN.items():
        arguments = ("promql", "label-matchers", "set", query, name, value)
        query = promtool("--experimental", *arguments)
    return query.strip()


def formatted(expressions: list[str]) -> str:
    """The same without a change."""
    query = " or ".join(f"({each})" for each in expressions)
    return promtool("--experimental", "promql", "format", query).strip()


def test_rules_are_the_committed_ones_of_this_release_alone() -> None:
    committed = [
        rule
        for file in RULE_FILES
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]

    rules = [rule for group in ruled()["groups"] for rule in group["rules"]]

    own = [each.pop("expr") for each in rules]
    assert formatted(own) == labelled([each.pop("expr") for each in committed])
    assert rules == [each | {"labels": each.get("labels", {}) | OWN} for each in committed]


def of_release(series: str, release: str) -> str:
    """A series as the ServiceMonitor labels it."""
    name, _, rest = series.partition("{")
    own = f'{name}{{namespace="{NAMESPACE}",app_kubernetes_io_instance="{release}"'
    return f"{own},{rest}" if rest else f"{own}}}"


def test_alerts_fire_for_series_of_this_release_and_for_no_other(tmp_path: Path) -> None:
    document: dict[str, Any] = yaml.safe_load(write_units(tmp_path, UNITS_TRIED).read_text())
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(ruled()))
    own, other = document["tests"], copy.deepcopy(document["tests"])
    for units, release in ((own, RELEASE), (other, "other")):
        for unit in units:
            for each in unit["input_series"]:
                each["series"] = of_release(each["series"], release)
            for each in unit["alert_rule_test"]:
                each["exp_alerts"] = each["exp_alerts"] if units is own else []
                for alert in each["exp_alerts"]:
                    alert["exp_labels"] |= OWN
    tried = document | {"rule_files": [str(tmp_path / "rules.yml")], "tests": own + other}
    (tmp_path / "own.yml").write_text(yaml.safe_dump(tried))

    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "own.yml"))


def test_runbooks_are_where_the_values_say() -> None:
    addresses = {
        rule["annotations"]["runbook_url"]
        for group in ruled(docs=DOCS)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }

    assert addresses
    assert all(each.startswith(f"{DOCS}/runbooks/") for each in addresses)


def test_dashboards_are_the_committed_ones_of_this_release_alone() -> None:
    dashboards = shown()

    assert [*dashboards] == [f"{NAMESPACE}.{RELEASE}.{file.name}" for file in FILES]
    own = [query for each in dashboards.values() for query in asked(each)]
    assert formatted(own) == labelled([query for file in FILES for query in asked(read(file))])
    for file, dashboard in zip(FILES, dashboards.values(), strict=True):
        committed = read(file)
        assert dashboard["title"] == f"{committed['title']} ({NAMESPACE}/{RELEASE})"
        for part in ("uid", "title", "panels", "templating"):
            del dashboard[part], committed[part]
        assert dashboard == committed


def test_dashboards_of_two_releases_have_no_file_and_no_id_in_common() -> None:
    first, second = shown(release="a", namespace="b"), shown(release="mill-a", namespace="b")

    assert first.keys() & second.keys() == set()
    ids = {each["uid"] for each in first.values()}
    assert ids & {each["uid"] for each in second.values()} == set()
    # Grafana refuses longer ones.
    assert all(len(each) <= 40 for each in ids)


def asking(
    address: str, *, asks: bool = True, where: Mapping[str, object] = PROMETHEUS
) -> list[Manifest]:
    """A release whose gateway may ask a Prometheus."""
    said: Values = {"prometheusAddress": address, "gatewayAsks": asks}
    peers = {"prometheus": [where]}
    return render(merged(profile("ha"), {"monitoring": said, "network": {"peers": peers}}))


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("http://prometheus.monitoring:9091", 9091),
        ("http://prometheus.monitoring:9090/prefix", 9090),
        ("http://prometheus2", 80),
        ("https://prometheus2/prefix", 443),
    ],
)
def test_the_gateway_is_let_out_to_the_prometheus_that_it_asks_and_no_further(
    address: str, port: int
) -> None:
    manifests = asking(address)

    before, after = (allowed(each, "egress") for each in (asking(address, asks=False), manifests))
    assert after - before == {("gateway", "outside", port)}
    ports = [{"protocol": "TCP", "port": port}]
    assert {"to": [PROMETHEUS | {"podSelector": NOT_OURS}], "ports": ports} in [
        rule
        for each in of_kind(manifests, "NetworkPolicy")
        for rule in each["spec"].get("egress", ())
    ]


def test_a_prometheus_that_may_be_anywhere_opens_no_way_to_pods_of_ours() -> None:
    manifests = asking("http://prometheus.other:9090", where={"namespaceSelector": {}})

    assert list(traffic_errors(manifests)) == []


def test_the_gateway_that_serves_is_told_of_the_prometheus_and_of_its_own_alerts() -> None:
    def told(*, asks: bool) -> dict[str, list[str]]:
        return {
            pod.labels[COMPONENT]: [each["value"] for each in env if "PROMETHEUS" in each["name"]]
            for pod in pods(asking("http://prometheus:9090", asks=asks))
            for env in [containers(pod)[0].get("env", [])]
        }

    assert {name: said for name, said in told(asks=True).items() if said} == {
        "gateway": [
            json.dumps(OWN, separators=(",", ":"), sort_keys=True),
            "http://prometheus:9090",
        ]
    }
    assert not any(told(asks=False).values())


def test_the_sidecar_finds_dashboards_by_their_label() -> None:
    found = config_maps()

    assert {each["metadata"]["labels"]["grafana_dashboard"] for each in found} == {"1"}
    # `kubectl apply` writes an object into an annotation, which may have 256 KiB.
    assert all(len(json.dumps(each)) < 128 * 1024 for each in found)
