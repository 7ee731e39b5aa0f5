"""New datasets in the console: a file in parts over lost connections, its rows, and the order."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_trainings import PARTS, file_in_parts
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file that is sent in three parts."""
    return file_in_parts(tmp_path)


@pytest.fixture
def new_dataset(watched: WatchedPage, gateway: LiveGateway) -> WatchedPage:
    """The page for a new dataset."""
    gateway.house.data_prep.busy = False
    address = f"{gateway.url}/console/index.html#token={gateway.token()}"
    watched.open_address(address, wait_until="load")
    watched.page.evaluate("location.hash = '/datasets/new'")
    expect(watched.page.get_by_role("heading", name="New dataset")).to_be_visible()
    return watched


def choose(page: Page, file: Path) -> None:
    page.get_by_label("File with rows").set_input_files(file)


def sent_parts(watched: WatchedPage) -> int:
    return len([each for each in watched.requests if each.endswith("/parts")])


def test_rows_are_shown_as_text(new_dataset: WatchedPage, gateway: LiveGateway, rows: Path):
    page = new_dataset.page
    turns = [{"role": "user", "content": text} for text in HOSTILE]
    gateway.house.data_prep.shown_row = json.dumps({"messages": turns})
    choose(page, rows)

    expect(page.locator("tbody .text")).to_have_text([f"User: {text}" for text in HOSTILE])
    assert page.evaluate("window.ran") is None
    assert page.locator("iframe, img, main script, main style").count() == 0
    assert new_dataset.complaints == []


def test_a_mapping_is_changed_and_previewed(
    new_dataset: WatchedPage, gateway: LiveGateway, rows: Path
):
    page = new_dataset.page
    choose(page, rows)
    page.get_by_label("Question").fill("What is {word}?")
    page.get_by_role("button", name="Preview rows").click()

    def is_previewed() -> bool:
        mapping = gateway.house.data_prep.previewed[-1].spec.mapping
        return bool(mapping.user_template == "What is {word}?")

    gateway.wait_until(is_previewed)


def test_an_upload_goes_on_by_itself_after_the_gateway_was_full(
    new_dataset: WatchedPage, gateway: LiveGateway, rows: Path
):
    page = new_dataset.page
    gateway.house.data_prep.busy = True
    choose(page, rows)
    expect(page.get_by_text("the upload goes on by itself")).to_be_visible()

    gateway.house.data_prep.busy = False

    expect(page.get_by_text("Uploaded words.jsonl")).to_be_visible()


def test_after_a_reload_an_upload_goes_on_behind_the_parts_that_are_stored(
    new_dataset: WatchedPage, rows: Path
):
    page, stored = new_dataset.page, 0

    def let_one_through(route: Route) -> None:
        nonlocal stored
        stored += 1
        if stored == 1:
            route.continue_()
        else:
            route.abort()

    page.route("**/parts", let_one_through)
    choose(page, rows)
    expect(page.get_by_text("the upload goes on by itself")).to_be_visible()
    page.unroute("**/parts")
    page.reload()
    before = sent_parts(new_dataset)
    choose(page, rows)

    expect(page.get_by_text("Uploaded words.jsonl")).to_be_visible()
    assert sent_parts(new_dataset) == before + PARTS - 1


def test_a_stopped_upload_is_continued_or_discarded(
    new_dataset: WatchedPage, gateway: LiveGateway, rows: Path
):
    page = new_dataset.page
    gateway.house.data_prep.busy = True
    choose(page, rows)
    page.get_by_role("button", name="Stop").click()
    gateway.house.data_prep.busy = False
    page.get_by_role("button", name="Continue upload").click()
    expect(page.get_by_text("Uploaded words.jsonl")).to_be_visible()

    gateway.house.data_prep.busy = True
    choose(page, rows)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Discard upload").click()

    expect(page.get_by_role("progressbar")).to_have_count(0)


def test_a_file_that_is_none_of_rows_is_refused_in_the_words_of_the_api(
    new_dataset: WatchedPage, tmp_path: Path
):
    picture = tmp_path / "photo.png"
    picture.write_bytes(b"PNG")
    choose(new_dataset.page, picture)

    expect(new_dataset.page.get_by_role("alert")).to_contain_text("must end in .jsonl")
