"""The budget of a tenant in the console: its limits, set by its own people, and what is used."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import ask, complaints, open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage


@pytest.fixture
def budget(watched: WatchedPage, gateway: LiveGateway) -> Page:
    """The page, of a tenant of its own."""
    return open_place(watched, gateway, "/budget", gateway.token(tenant="thrifty", sub=HOSTILE[1]))


def limit(page: Page, name: str) -> Locator:
    return page.get_by_role("row", name=name)


def test_limits_are_set_by_keyboard_and_taken_away(budget: Page, gateway: LiveGateway):
    budget.get_by_label("Money", exact=True).focus()
    budget.keyboard.type("12.50")
    budget.keyboard.press("Tab")
    budget.keyboard.press("m")
    budget.keyboard.press("Tab")
    budget.keyboard.press("Enter")

    expect(budget.get_by_role("status")).to_have_text("The limits are set.")
    expect(limit(budget, "Money (month)")).to_contain_text("12.5")
    expect(budget.locator(".facts")).to_contain_text(HOSTILE[1])
    budget.get_by_label("Money", exact=True).fill("")
    budget.get_by_role("button", name="Set limits").click()
    expect(limit(budget, "Money")).to_contain_text("none")
    shown = ask(gateway, gateway.token(tenant="thrifty"), "GET", "/v1/budget")["limits"]
    assert set(shown.values()) == {None}
    assert budget.evaluate("window.ran") is None


def test_a_limit_of_nothing_is_refused_in_the_words_of_the_api(budget: Page, watched: WatchedPage):
    budget.get_by_label("Money", exact=True).fill("0")
    budget.get_by_role("button", name="Set limits").click()

    expect(budget.get_by_role("alert")).to_contain_text("must be more than 0")
    assert complaints(watched) == []


def test_who_may_not_see_the_budget_is_told_why(watched: WatchedPage, gateway: LiveGateway):
    page = open_place(watched, gateway, "/budget", gateway.token(scope="usage"))

    expect(page.get_by_role("alert")).to_contain_text("scope budgets")
