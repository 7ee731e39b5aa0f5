"""Operations in the console: alerts, findings, services, queues, workers and streams."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from modelmill.inference.v1.inference_service_pb2 import (
    ListServingResponse,
    ServedModel,
    ServingMemory,
)
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING, Resources
from modelmill.jobs.v1.job_service_pb2 import WorkerLoad
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import OPERATOR, complaints, open_place
from tests.browser.live_gateway import LiveGateway, built_console, live_gateway
from tests.browser.watched_page import WatchedPage

NOWHERE = "127.0.0.1:9"
GB = 10**9


class FullWorker:
    """A worker without a free slot."""

    load = WorkerLoad(
        worker="trainer-1",
        kinds=["train"],
        slots=2,
        busy_slots=2,
        short_slots=1,
        size=Resources(cpus=4, memory_bytes=8 * GB, gpus=1),
        free=Resources(cpus=1.5, memory_bytes=2 * GB),
    )


class AlertingServer(BaseHTTPRequestHandler):
    """Has one alert, whose texts are hostile."""

    def do_GET(self) -> None:
        notes = {"summary": HOSTILE[0], "action": HOSTILE[1], "runbook_url": "javascript:ran=8"}
        alert = {
            "labels": {"alertname": "GatewayErrors", "severity": "page", "model": HOSTILE[2]},
            **{"annotations": notes, "state": "firing", "activeAt": "2026-11-23T00:00:00Z"},
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": {"alerts": [alert]}}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """One with a Prometheus, whose trainer is away."""
    folder = tmp_path_factory.mktemp("gateway")
    with HTTPServer(("127.0.0.1", 0), AlertingServer) as prometheus:
        serving = Thread(target=prometheus.serve_forever, args=(0.01,))
        serving.start()
        url = f"http://127.0.0.1:{prometheus.server_port}"
        place = {"prometheus_url": url, "optimizer_builder_address": NOWHERE}
        with live_gateway(folder, console_folder=built_console(), **place) as running:
            yield running
        prometheus.shutdown()
        serving.join()


def section(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


@pytest.fixture
def operations(watched: WatchedPage, gateway: LiveGateway) -> Page:
    """The page, beside a job that waits and one that a worker of a hostile name has."""
    gateway.order_training()
    gateway.say_state(gateway.order_training(), JOB_STATUS_RUNNING, owner=HOSTILE[1])
    return open_place(watched, gateway, "/operations", gateway.token(**OPERATOR))


def test_all_that_operators_look_after_is_shown_as_it_is_and_as_text(
    operations: Page, watched: WatchedPage
):
    services = section(operations, "Services")
    expect(services.get_by_role("row", name="trainer")).to_contain_text("serving")
    expect(services.get_by_role("row", name=NOWHERE)).to_contain_text("does not answer")
    training = section(operations, "Queues").get_by_role("row", name="Training")
    expect(training).to_contain_text("sec")
    worker = section(operations, "Workers").get_by_role("row", name="acme")
    expect(worker).to_contain_text(HOSTILE[1])
    expect(section(operations, "Streams").get_by_role("row", name="JOBS")).to_contain_text("%")
    expect(section(operations, "Room of this gateway")).to_contain_text("mill capacity")
    finding = section(operations, "Findings").get_by_role("row", name="service-unreachable")
    expect(finding).to_contain_text(f"optimizer-builder at {NOWHERE} does not answer")
    expect(finding).to_contain_text("See its log")
    alert = section(operations, "Alerts").get_by_role("row", name="GatewayErrors")
    for text in ("firing", "callers notice", *HOSTILE[:3], "javascript:ran=8"):
        expect(alert).to_contain_text(text)
    expect(alert.get_by_role("link")).to_have_count(0)
    assert operations.evaluate("window.ran") is None
    assert complaints(watched) == []


def test_capacity_shows_what_is_free_and_says_what_is_not_known(
    watched: WatchedPage, gateway: LiveGateway
):
    gateway.house.inference.serving = ListServingResponse(
        memory=ServingMemory(limit_bytes=16 * GB, reserved_bytes=GB, room_bytes=9 * GB),
        models=[ServedModel(version_id=HOSTILE[3], engine="openvino", waiting=1, max_waiting=32)],
    )
    gateway.house.capacity["trainer"].worker = FullWorker()
    page = open_place(watched, gateway, "/operations", gateway.token(**OPERATOR))
    capacity = section(page, "Capacity")

    trainer = capacity.get_by_role("row", name="trainer-1")
    for text in ("0 of 2", "1 of 1", "1.5 of 4", "2 GB of 8 GB", "0 of 1"):
        expect(trainer).to_contain_text(text)
    builder = capacity.get_by_role("row", name=NOWHERE)
    expect(builder).to_contain_text("it does not answer")
    evaluations = capacity.get_by_role("row", name="Evaluation")
    expect(evaluations).to_contain_text("not known: no job of this kind is in work")
    expect(capacity).to_contain_text("1 GB of 16 GB")
    expect(capacity.get_by_role("row", name=HOSTILE[3])).to_contain_text("1 of 32")
    expect(capacity).to_contain_text("free disk of the message broker")
    page.get_by_label("Language").select_option("zh")
    expect(page.get_by_role("heading", name="容量", exact=True)).to_be_visible()
    assert page.evaluate("window.ran") is None
    assert complaints(watched) == []


def test_without_a_prometheus_the_next_step_is_named_in_place_of_alerts(
    watched: WatchedPage, gateway: LiveGateway
):
    page = watched.page
    refusal = {"error": {"message": "told of no Prometheus. Set GATEWAY_PROMETHEUS_URL"}}
    page.route("**/v1/alerts", lambda route: route.fulfill(status=409, json=refusal))
    open_place(watched, gateway, "/operations", gateway.token(**OPERATOR))

    expect(section(page, "Alerts").get_by_role("alert")).to_contain_text("GATEWAY_PROMETHEUS_URL")
    expect(section(page, "Workers")).to_be_visible()
