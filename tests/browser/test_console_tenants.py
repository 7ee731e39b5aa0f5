"""Tenants and the audit log in the console, as operators and a tenant's people see them."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import ask, complaints, go_to, open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

OPERATOR = {"tenant": "operators", "scope": "operator", "sub": HOSTILE[1]}
LONG_SECONDS = 20_000


def confirm(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()
    page.get_by_role("dialog").get_by_role("button", name=name).click()


def limit(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name="Limits").get_by_role("row", name=name)


def test_a_tenant_is_limited_suspended_and_resumed(watched: WatchedPage, gateway: LiveGateway):
    operator = gateway.token(**OPERATOR)
    ask(gateway, operator, "POST", "/v1/tenants", name="acme-labs")
    page = open_place(watched, gateway, "/tenants", operator)
    page.get_by_role("link", name="acme-labs").click()
    page.get_by_label("Tokens", exact=True).fill("1000")
    page.get_by_label("Period of tokens").select_option("month")
    page.get_by_role("button", name="Set limits").click()
    expect(page.get_by_text("The limits are set.")).to_be_visible()
    expect(limit(page, "Tokens (month)")).to_contain_text("1,000")

    theirs = gateway.token(tenant="acme-labs")
    confirm(page, "Suspend")
    expect(page.locator(".status.suspended")).to_be_visible()
    with pytest.raises(Exception, match="403"):
        ask(gateway, theirs, "GET", "/v1/models")
    confirm(page, "Resume")
    expect(page.locator(".status.active")).to_be_visible()

    assert ask(gateway, theirs, "GET", "/v1/models")["object"] == "list"
    go_to(page, "/tenants")
    expect(page.get_by_role("row", name="acme-labs")).to_contain_text("Tokens (month): 1,000")
    assert page.evaluate("window.ran") is None
    assert complaints(watched) == []


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


def test_the_audit_log_names_who_changed_what_as_text(watched: WatchedPage, gateway: LiveGateway):
    token = gateway.token(tenant="watched", sub=HOSTILE[1])
    key = ask(gateway, token, "POST", "/v1/keys", name="watched")["id"]
    page = open_place(watched, gateway, "/audit", token)

    row = page.get_by_role("row", name="issue_key")
    expect(row).to_contain_text(HOSTILE[1], timeout=LONG_SECONDS)
    expect(row).to_contain_text(key)
    assert page.evaluate("window.ran") is None
    assert complaints(watched) == []
