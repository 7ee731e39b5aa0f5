"""Pages of the web console: charts and lists of jobs, datasets, models, and the playground."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_charts import chart, figures_shown
from tests.browser.console_place import go_to
from tests.browser.console_trainings import points_stored, running_training
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
    return running_training(gateway)


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
        expect(chart(page, title).locator("canvas")).to_have_count(1)
    assert console.complaints == []


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
