"""Tenants and the audit log in the console: limits that cannot be, and who may not see them."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import ask, open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

OPERATOR = {"tenant": "operators", "scope": "operator", "sub": HOSTILE[1]}


def test_a_limit_that_cannot_be_is_refused_in_the_words_of_the_api(
    watched: WatchedPage, gateway: LiveGateway
):
    operator = gateway.token(**OPERATOR)
    ask(gateway, operator, "POST", "/v1/tenants", name="frugal")
    page = open_place(watched, gateway, "/tenants/frugal", operator)
    page.get_by_label("Money", exact=True).fill("0")
    page.get_by_role("button", name="Set limits").click()

    expect(page.get_by_role("alert")).to_contain_text("must be more than 0")
    expect(page.get_by_label("Money", exact=True)).to_have_value("0")


@pytest.mark.parametrize(("place", "scope"), [("/tenants", "operator"), ("/audit", "keys")])
def test_who_may_not_see_it_is_told_why(
    watched: WatchedPage, gateway: LiveGateway, place: str, scope: str
):
    page = open_place(watched, gateway, place, gateway.token(scope="chat"))

    expect(page.get_by_role("alert")).to_contain_text(f"scope {scope}")
