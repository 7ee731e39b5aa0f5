"""Tenants and the audit log in the console: made, limited wrongly, and who may not see them."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import ask, complaints, confirm, open_place
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


def test_a_tenant_is_made_by_its_name_and_its_page_opens(
    watched: WatchedPage, gateway: LiveGateway
):
    operator = gateway.token(**OPERATOR)
    page = open_place(watched, gateway, "/tenants", operator)
    page.get_by_text("New tenant", exact=True).click()
    name = page.get_by_label("Name of the tenant")
    name.fill("Not A Name")
    page.get_by_role("button", name="Create tenant").click()
    assert page.url.endswith("#/tenants")
    name.fill("new-one")
    page.get_by_role("button", name="Create tenant").click()

    expect(page.get_by_role("heading", name="new-one")).to_be_visible()
    expect(page.get_by_role("button", name="Set limits")).to_be_visible()
    assert ask(gateway, operator, "GET", "/v1/tenants/new-one")["status"] == "active"


def test_a_name_that_is_taken_is_refused_in_the_words_of_the_api(
    watched: WatchedPage, gateway: LiveGateway
):
    operator = gateway.token(**OPERATOR)
    ask(gateway, operator, "POST", "/v1/tenants", name="taken")
    page = open_place(watched, gateway, "/tenants", operator)
    page.get_by_text("New tenant", exact=True).click()
    page.get_by_label("Name of the tenant").fill("taken")
    page.get_by_role("button", name="Create tenant").click()

    expect(page.get_by_role("alert")).to_contain_text("taken")


def test_a_tenant_is_deleted_after_a_question(watched: WatchedPage, gateway: LiveGateway):
    operator = gateway.token(**OPERATOR)
    ask(gateway, operator, "POST", "/v1/tenants", name="leaving")
    page = open_place(watched, gateway, "/tenants/leaving", operator)
    confirm(page, "Delete", "with all that it has")

    expect(page.get_by_text("being deleted")).to_be_visible()
    expect(page.get_by_role("button", name="Delete", exact=True)).to_have_count(0)
    assert ask(gateway, operator, "GET", "/v1/tenants/leaving")["status"] == "deleting"
    assert complaints(watched) == []
