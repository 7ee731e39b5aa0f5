"""Evaluations in the console: figures with intervals, protections, groups, and many rows."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_evaluations import (
    LONG,
    WHY,
    evaluate,
    evaluated_row,
    evaluated_rows,
)
from tests.browser.console_place import complaints, open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

ROWS = 10_000
PAGE_ROWS, MOST_REQUESTS = 50, 5
"""Requests with that for whom the credential names, which each first page asks."""


@pytest.fixture(scope="module")
def evaluation(gateway: LiveGateway) -> str:
    """One with many rows; its id."""
    return evaluate(gateway, evaluated_rows(ROWS))


def rows(page: Page) -> Locator:
    """Those that are shown of the evaluation."""
    return page.get_by_role("region", name="Rows", exact=True).locator("tbody tr")


def test_figures_have_intervals_differences_protections_and_groups(
    watched: WatchedPage, gateway: LiveGateway, evaluation: str
):
    page = open_place(watched, gateway, f"/jobs/{evaluation}", gateway.token())

    results = page.get_by_role("region", name="Results", exact=True)
    accuracy = results.get_by_role("row", name="accuracy")
    for words in ("0.75 (0.6 to 0.9)", "0.625", "0.125 (0.05 to 0.2) clear", "25% / 63% / 13%"):
        expect(accuracy).to_contain_text(words)
    protections = page.get_by_role("region", name="Protections")
    expect(protections.get_by_role("row", name=f"length = {LONG}")).to_contain_text(
        f"does not hold: {WHY}"
    )
    groups = page.get_by_role("region", name="Groups of rows")
    expect(groups.get_by_role("row", name="0-200 (30)")).to_contain_text("0.875")
    assert complaints(watched) == []


def test_ten_thousand_rows_open_in_five_requests_and_go_on_in_pages(
    watched: WatchedPage, gateway: LiveGateway, evaluation: str
):
    page = open_place(watched, gateway, f"/jobs/{evaluation}", gateway.token())
    expect(rows(page)).to_have_count(PAGE_ROWS)
    page.get_by_role("button", name="Load more").click()

    expect(rows(page)).to_have_count(2 * PAGE_ROWS)
    expect(rows(page).last.get_by_role("rowheader")).to_have_text(str(2 * PAGE_ROWS))
    asked = [each for each in watched.requests if f"/{evaluation}" in each and "/v1/" in each]
    more = 1
    assert len(asked) - more <= MOST_REQUESTS - 1, asked


def test_rows_and_answers_are_shown_as_text_and_long_ones_are_folded(
    watched: WatchedPage, gateway: LiveGateway
):
    texts = (*HOSTILE, "long " * 1_000)
    found = [evaluated_row(n, text, right=False) for n, text in enumerate(texts, 1)]
    page = open_place(watched, gateway, f"/jobs/{evaluate(gateway, found)}", gateway.token())

    for hostile in HOSTILE:
        expect(rows(page).get_by_text(hostile, exact=True).first).to_be_visible()
    expect(rows(page).last.locator("details")).to_have_count(2)
    assert page.evaluate("window.ran") is None
    assert page.locator("iframe, img, main script, main style").count() == 0
    assert complaints(watched) == []
