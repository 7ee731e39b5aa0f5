"""Pages of the web console: jobs that are watched and steered, models, and the playground."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED
from playwright.sync_api import expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_charts import COLUMNS, chart, figures_shown
from tests.browser.console_place import go_to
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage


@pytest.fixture
def console(watched: WatchedPage, gateway: LiveGateway) -> WatchedPage:
    """Signed in."""
    gateway.house.inference.reset()
    address = f"{gateway.url}/console/index.html#token={gateway.token()}"
    watched.open_address(address, wait_until="load")
    return watched


@pytest.fixture
def training(gateway: LiveGateway) -> str:
    """A running job that has reported ten steps."""
    job_id = gateway.order_training()
    gateway.say_state(job_id, JOB_STATUS_RUNNING)
    say_steps(gateway, job_id, range(1, 11))
    return job_id


def say_steps(gateway: LiveGateway, job_id: str, steps: range) -> None:
    for step in steps:
        rate = {"learning_rate": 0.001 / step, "tokens_per_second": 100.0 + step}
        gateway.say_step(job_id, step, loss=3.0 / step, **rate)


def events_stored(gateway: LiveGateway, job_id: str) -> list[dict[str, Any]]:
    """What the API has of the job, oldest first."""
    headers = {"authorization": f"Bearer {gateway.token()}"}
    address = f"{gateway.url}/v1/jobs/{job_id}/events?limit=100"
    data: list[dict[str, Any]] = httpx.get(address, headers=headers).json()["data"]
    return data[::-1]


def points_stored(gateway: LiveGateway, job_id: str) -> list[list[float]]:
    """The same of the API."""
    events = events_stored(gateway, job_id)
    reported = [each["data"] for each in events if each["type"] == "metrics"]
    return [[each[name] for name in COLUMNS] for each in reported]


def test_a_chart_has_after_a_reload_the_points_that_are_stored(
    console: WatchedPage, gateway: LiveGateway, training: str
):
    page = console.page
    go_to(page, f"/jobs/{training}")
    expect(chart(page, "Loss")).to_have_attribute("data-points", "10")
    before = figures_shown(page)

    page.reload()
    expect(chart(page, "Loss")).to_have_attribute("data-points", "10")

    assert figures_shown(page) == before == points_stored(gateway, training)
    for title in ("Learning rate", "Tokens per second"):
        assert chart(page, title).locator("canvas").count() == 1
    assert console.complaints == []


def test_after_a_lost_connection_no_point_is_missing_and_none_is_there_twice(
    console: WatchedPage, gateway: LiveGateway, training: str
):
    page = console.page
    go_to(page, f"/jobs/{training}")
    expect(chart(page, "Loss")).to_have_attribute("data-points", "10")
    # The stream is there once it brings news. A request that still waits for its answer would be
    # repeated by Chromium itself, also where it is offline.
    for step in (11, 12):
        say_steps(gateway, training, range(step, step + 1))
        expect(chart(page, "Loss")).to_have_attribute("data-points", str(step))

    page.context.set_offline(True)
    gateway.cut()
    say_steps(gateway, training, range(13, 18))
    expect(page.get_by_role("alert").first).to_contain_text("does not answer")
    page.context.set_offline(False)
    expect(chart(page, "Loss")).to_have_attribute("data-points", "17", timeout=20_000)
    expect(page.get_by_role("alert")).to_have_count(0)

    assert figures_shown(page) == points_stored(gateway, training)
    assert page.locator(".log li").count() == len(events_stored(gateway, training))


def test_a_chart_grows_while_the_job_runs_until_it_has_ended(
    console: WatchedPage, gateway: LiveGateway, training: str
):
    page = console.page
    go_to(page, f"/jobs/{training}")
    expect(page.get_by_text("10/40 step")).to_be_visible()

    say_steps(gateway, training, range(11, 13))
    expect(chart(page, "Loss")).to_have_attribute("data-points", "12")
    gateway.say_state(training, JOB_STATUS_SUCCEEDED)

    expect(page.locator(".status.succeeded")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(0)


def test_a_job_is_paused_and_for_good_cancelled_only_after_a_question(
    console: WatchedPage, gateway: LiveGateway
):
    page, waiting = console.page, gateway.order_training()
    go_to(page, f"/jobs/{waiting}")
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("dialog").get_by_role("button", name="Back").click()
    expect(page.locator(".status.queued")).to_be_visible()

    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel job").click()

    expect(page.locator(".status.cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel job")).to_have_count(0)


def test_jobs_are_listed_by_kind_and_lead_to_their_pages(
    console: WatchedPage, gateway: LiveGateway, training: str
):
    page = console.page
    go_to(page, "/jobs")
    expect(page.get_by_role("link", name=training)).to_be_visible()

    page.get_by_label("Kind").select_option("batch")
    expect(page.get_by_text("There are no jobs")).to_be_visible()
    page.get_by_label("Kind").select_option("train")
    page.get_by_role("link", name=training).click()

    expect(page.get_by_role("heading", name=training)).to_be_visible()


def test_a_dataset_tells_what_was_kept_and_gives_its_report(
    console: WatchedPage, gateway: LiveGateway
):
    page, dataset = console.page, gateway.make_dataset({"rows_in": 900, "rows_kept": 880})
    go_to(page, "/datasets")
    expect(page.get_by_role("row", name=dataset)).to_contain_text("ready")
    page.get_by_role("link", name=dataset).click()
    expect(page.get_by_role("row", name="rows_kept")).to_contain_text("880")

    with page.expect_download() as download:
        page.get_by_role("button", name="Download report").click()

    assert download.value.suggested_filename == f"{dataset}.html"
    assert Path(download.value.path()).stat().st_size > 0


def test_a_version_tells_where_it_comes_from_and_which_alias_points_to_it(console: WatchedPage):
    page = console.page
    go_to(page, "/models")
    page.get_by_role("region", name="Aliases").get_by_role("link", name="mv-build").click()

    lineage = page.get_by_role("region", name="Lineage")
    expect(lineage.locator("ol > li")).to_have_text(
        ["mv-base tiny · safetensors", "mv-build tiny · openvino-int8"]
    )
    expect(lineage).to_contain_text("default")


def test_an_answer_is_streamed_and_shown_as_text(console: WatchedPage, gateway: LiveGateway):
    page = console.page
    gateway.house.inference.pieces = list(HOSTILE)
    go_to(page, "/playground")

    page.get_by_label("Message").fill("say something")
    page.get_by_label("Message").press("Control+Enter")

    answer = page.locator("article.assistant .text")
    expect(answer).to_have_text("".join(HOSTILE), use_inner_text=True)
    expect(page.locator("article.assistant code")).to_have_text("mv-build")
    assert page.evaluate("window.ran") is None
    assert console.complaints == []


def test_what_the_policy_matched_is_marked_with_the_rule(
    console: WatchedPage, gateway: LiveGateway
):
    page = console.page
    gateway.house.inference.pieces = ["take a lock pick"]
    go_to(page, "/playground")
    page.get_by_label("Message").fill("how does one open it")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".mark")).to_contain_text("note-locks (illicit)")

    page.get_by_label("Message").fill("where is forbidden fruit")
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_role("alert")).to_contain_text("no-eating (illicit)")
    expect(page.locator("article.user")).to_have_count(1)


def test_an_answer_ends_when_somebody_stops_it(console: WatchedPage, gateway: LiveGateway):
    page = console.page
    gateway.house.inference.endless = True
    go_to(page, "/playground")
    page.get_by_label("Message").fill("count")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("article.assistant .text")).to_contain_text("3 4 5")

    page.get_by_role("button", name="Stop").click()

    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.locator("article.assistant .text")).to_contain_text("3 4 5")
    gateway.wait_until(lambda: gateway.house.inference.in_flight == 0)
