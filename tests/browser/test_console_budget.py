"""The budget of a tenant in the console: what is refused, and to whom it is closed."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import complaints, open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage


@pytest.fixture
def budget(watched: WatchedPage, gateway: LiveGateway) -> Page:
    """The page, of a tenant of its own."""
    return open_place(watched, gateway, "/budget", gateway.token(tenant="thrifty", sub=HOSTILE[1]))


def test_a_limit_of_nothing_is_refused_in_the_words_of_the_api(budget: Page, watched: WatchedPage):
    budget.get_by_label("Money", exact=True).fill("0")
    budget.get_by_role("button", name="Set limits").click()

    expect(budget.get_by_role("alert")).to_contain_text("must be more than 0")
    assert complaints(watched) == []


def test_who_may_not_see_the_budget_is_told_why(watched: WatchedPage, gateway: LiveGateway):
    page = open_place(watched, gateway, "/budget", gateway.token(scope="usage"))

    expect(page.get_by_role("alert")).to_contain_text("scope budgets")
