"""What a credential opens in the console, and what is told of it to whom it names."""

from playwright.sync_api import Page, expect

from tests.browser.console_place import OPERATOR, ask, open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage


def linked(page: Page) -> list[str]:
    """Pages that the navigation leads to."""
    return page.locator("header nav ul").first.get_by_role("link").all_inner_texts()


def test_a_key_is_told_its_id_its_models_and_its_scopes(watched: WatchedPage, gateway: LiveGateway):
    wanted = {"name": "bot", "scopes": ["chat"], "models": ["wordnet"]}
    key = ask(gateway, gateway.token(), "POST", "/v1/keys", **wanted)
    page = open_place(watched, gateway, "/access", key["key"])

    facts = page.locator(".facts")
    expect(facts).to_contain_text(key["id"])
    expect(facts).to_contain_text("wordnet")
    assert linked(page) == ["Playground", "Policies"]


def test_a_reload_does_not_ask_again_who_is_signed_in_and_nothing_stays_behind_a_sign_out(
    watched: WatchedPage, gateway: LiveGateway
):
    page = open_place(watched, gateway, "/access", gateway.token(scope="jobs"))
    expect(page.locator(".facts")).to_contain_text("ada")
    page.reload()
    expect(page.locator(".facts")).to_contain_text("ada")

    assert len([each for each in watched.requests if each.endswith("/v1/me")]) == 1
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to Modelmill")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_whose_home_would_be_empty_begins_at_the_first_page_that_is_open(
    watched: WatchedPage, gateway: LiveGateway
):
    page = open_place(watched, gateway, "/", gateway.token(**OPERATOR))

    expect(page.get_by_role("heading", name="Operations", level=1)).to_be_visible()
    assert page.url.endswith("#/operations")


def test_who_is_of_a_suspended_tenant_is_told_that_at_the_sign_in(
    watched: WatchedPage, gateway: LiveGateway
):
    operator = gateway.token(**OPERATOR)
    ask(gateway, operator, "POST", "/v1/tenants", name="idle")
    ask(gateway, operator, "POST", "/v1/tenants/idle/suspend")
    watched.open_address(f"{gateway.url}/console/index.html", wait_until="load")
    page = watched.page
    page.get_by_label("API key or token").fill(gateway.token(tenant="idle"))
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("alert")).to_contain_text("suspended")
    expect(page.get_by_role("alert")).not_to_contain_text("has this scope")
