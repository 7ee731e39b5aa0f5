"""Alerts: what the installation's Prometheus has, or why there are none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_support.house import House, run_house
from gateway_support.provider import Provider, running_provider
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill_gateway.domain.access import OPERATOR
from modelmill_service_kit.grpc_client import open_channel

ALERTS = "/api/v1/alerts"


def said(name: str, state: str, **changes: Any) -> Mapping[str, Any]:
    """An alert as Prometheus has it."""
    return {
        "labels": {"alertname": name, "severity": "page", "job": "gateway"},
        "annotations": {
            "summary": f"{name} is wrong",
            "action": "Mend it.",
            "runbook_url": "http://127.0.0.1:8080/docs/runbooks/mend/",
        },
        "state": state,
        "activeAt": "2026-11-23T00:00:00.123456789Z",
        "value": "1e+00",
    } | changes


def publish(prometheus: Provider, *alerts: Mapping[str, Any]) -> None:
    prometheus.say(ALERTS, {"status": "success", "data": {"alerts": alerts}})


async def asked(house: House) -> httpx.Response:
    return await house.http(tenant="operators", scope=OPERATOR).get("/v1/alerts")


async def test_what_fires_comes_first_with_its_remedy_runbook_and_time(tmp_path: Path):
    async with (
        running_provider() as prometheus,
        run_house(tmp_path, prometheus_url=prometheus.url) as house,
    ):
        bare = {"labels": {"alertname": "Bare"}, "annotations": {}, "activeAt": "soon"}
        publish(
            prometheus,
            said("Slow", "pending"),
            said("Bare", "firing", **bare),
            said("Errors", "firing"),
        )
        shown = (await asked(house)).json()["data"]
        token = house.issuer.token(tenant="operators", scope=OPERATOR)
        async with open_channel(house.grpc_address, token) as channel:
            found = await GatewayServiceStub(channel).ListAlerts(pb.ListAlertsRequest())

    assert [each["name"] for each in shown] == ["Errors", "Bare", "Slow"]
    assert shown[0] == {
        "object": "alert",
        "name": "Errors",
        "state": "firing",
        "severity": "page",
        "summary": "Errors is wrong",
        "remedy": "Mend it.",
        "runbook_url": "http://127.0.0.1:8080/docs/runbooks/mend/",
        "since": 1_795_392_000,
        "labels": {"job": "gateway"},
    }
    assert [shown[1][name] for name in ("severity", "remedy", "since")] == [None] * 3
    assert [each.name for each in found.alerts] == ["Errors", "Bare", "Slow"]
    assert found.alerts[0].since.seconds == 1_795_392_000


async def test_alerts_of_others_who_share_the_prometheus_are_not_shown(tmp_path: Path):
    own = {"namespace": "models", "app_kubernetes_io_instance": "mill"}
    strangers = [
        said(f"Theirs{place}", "firing", labels=labels | {"alertname": f"Theirs{place}"})
        for place, labels in enumerate(
            ({"namespace": "models"}, own | {"app_kubernetes_io_instance": "other"}, {})
        )
    ]
    ours = said("Ours", "firing", labels={**own, "alertname": "Ours", "job": "gateway"})
    async with (
        running_provider() as prometheus,
        run_house(tmp_path, prometheus_url=prometheus.url, prometheus_labels=own) as house,
    ):
        publish(prometheus, *strangers * 200, ours)
        shown = (await asked(house)).json()["data"]

    assert [each["name"] for each in shown] == ["Ours"]


async def test_without_a_prometheus_the_setting_is_named(own_house: House):
    refused = await asked(own_house)

    assert refused.status_code == 409
    assert "GATEWAY_PROMETHEUS_URL" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"data": {"alerts": [1]}}', b"<html>", b"[" * 10_000, b" " * (2 << 20)]
)
async def test_what_is_no_prometheus_is_said_to_be_none(tmp_path: Path, body: bytes):
    async with (
        running_provider() as prometheus,
        run_house(tmp_path, prometheus_url=prometheus.url) as house,
    ):
        prometheus.answers[ALERTS] = (200, {}, body)
        refused = await asked(house)

    assert refused.status_code == 503
    assert "is no Prometheus" in refused.json()["error"]["message"]


async def test_a_prometheus_that_is_away_is_told_with_its_address(tmp_path: Path):
    async with run_house(tmp_path, prometheus_url="http://127.0.0.1:9") as house:
        refused = await asked(house)

    assert refused.status_code == 503
    assert "http://127.0.0.1:9 does not answer" in refused.json()["error"]["message"]
