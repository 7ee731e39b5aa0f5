"""Datasets side by side in the console: chosen, linked, with what differs and rows of one alone."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_datasets import datasets_that_differ
from tests.browser.console_place import complaints, open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

Pair = tuple[str, str]


@pytest.fixture(scope="module")
def pair(gateway: LiveGateway) -> Pair:
    """Two datasets that differ; their ids."""
    return datasets_that_differ(gateway, [f"text {n}" for n in range(30)] + list(HOSTILE))


def table(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True).get_by_role("table")


def test_a_dataset_is_compared_with_another_that_is_chosen(
    watched: WatchedPage, gateway: LiveGateway, pair: Pair
):
    first, second = pair
    page = open_place(watched, gateway, f"/datasets/{first}", gateway.token())
    page.get_by_role("button", name="Compare with another").click()
    expect(page.get_by_text("Choose two datasets")).to_be_visible()

    page.get_by_label("Add a dataset").select_option(second)

    expect(table(page, "Datasets")).to_contain_text("Rows in both")
    assert page.url.endswith(f"#/datasets/compare?ids={first}%2C{second}")
    page.get_by_role("button", name=f"Remove {first}").click()
    expect(page.get_by_text("Choose two datasets")).to_be_visible()


def test_a_link_shows_counts_shares_settings_and_every_text_as_text(
    watched: WatchedPage, gateway: LiveGateway, pair: Pair
):
    page = open_place(watched, gateway, f"/datasets/compare?ids={','.join(pair)}", gateway.token())

    labels = table(page, "Labels").get_by_role("row")
    expect(labels.filter(has_text="plant")).to_contain_text("50% (40)")
    why = table(page, "Why rows are in one alone").get_by_role("row")
    expect(why.filter(has_text="kept with other content")).to_contain_text("30")
    expect(table(page, "Removed rows, by outcome and rule")).to_contain_text("duplicates.exact")
    expect(table(page, "Lengths of rows")).to_contain_text("Tokens, 95th percentile")
    settings = table(page, "Settings").get_by_role("row")
    expect(settings.filter(has_text="filter.preset")).to_contain_text("≠")
    expect(page.get_by_text("The other dataset has all of its rows.")).to_be_visible()
    assert page.evaluate("window.ran") is None
    assert complaints(watched) == []


def test_rows_of_one_alone_come_in_pages(watched: WatchedPage, gateway: LiveGateway, pair: Pair):
    page = open_place(watched, gateway, f"/datasets/compare?ids={','.join(pair)}", gateway.token())
    rows = table(page, "Rows in A · words alone").get_by_role("row")
    expect(rows).to_have_count(1 + 20)
    expect(rows.nth(1)).to_contain_text("User: text 0")
    expect(rows.nth(1)).to_contain_text("User: other text 0")

    page.get_by_role("button", name="Load more").click()

    expect(rows).to_have_count(1 + 30 + len(HOSTILE))
    expect(page.get_by_text(HOSTILE[0])).not_to_have_count(0)
    assert page.evaluate("window.ran") is None


def test_one_that_is_not_there_is_told(watched: WatchedPage, gateway: LiveGateway, pair: Pair):
    page = open_place(
        watched, gateway, f"/datasets/compare?ids={pair[0]},ds-unknown", gateway.token()
    )

    expect(page.get_by_role("alert")).to_contain_text("ds-unknown")
