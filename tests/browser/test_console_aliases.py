"""Aliases in the console: a missing scope, a shared alias, and what is asked before a change."""

from playwright.sync_api import Page, expect

from tests.browser.console_place import ask, go_to, open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

DRAWN = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"


def is_asked(page: Page) -> bool:
    """Whether a question stands there, once what was pressed has been drawn."""
    page.evaluate(DRAWN)
    return page.get_by_role("dialog").count() > 0


def test_whoever_may_not_set_aliases_is_told_which_scope_is_missing(
    watched: WatchedPage, gateway: LiveGateway
):
    page = open_place(watched, gateway, "/models", gateway.token(scope="models:read"))
    page.get_by_role("button", name="Set an alias").click()
    expect(page.get_by_role("alert")).to_contain_text("models:write")

    go_to(page, "/aliases/default")
    expect(page.get_by_role("alert")).to_contain_text("models:write")
    assert page.get_by_role("button", name="Set alias").count() == 0


def test_a_shared_alias_is_not_removed_but_covered_by_one_of_the_tenant(
    watched: WatchedPage, gateway: LiveGateway
):
    token = gateway.token(tenant="coverers")
    page = open_place(watched, gateway, "/aliases/default", token)
    expect(page.get_by_text("Every tenant sees this alias")).to_be_visible()
    assert page.get_by_role("button", name="Remove alias").count() == 0

    page.get_by_label("Version 1", exact=True).select_option("mv-tuned")
    page.get_by_role("button", name="Set alias").click()
    dialog = page.get_by_role("dialog")
    facts = dialog.locator(".facts")
    expect(facts.nth(0)).to_contain_text("mv-build")
    expect(facts.nth(1)).to_contain_text("mv-tuned")
    dialog.get_by_role("button", name="Set alias").click()

    expect(page.get_by_role("button", name="Remove alias")).to_be_visible()
    served = {each["id"]: each for each in ask(gateway, token, "GET", "/v1/aliases")["data"]}
    assert (served["default"]["version_id"], served["default"]["owned_by"]) == (
        "mv-tuned",
        "coverers",
    )


def test_nothing_is_asked_or_sent_while_no_version_is_chosen(
    watched: WatchedPage, gateway: LiveGateway
):
    page = open_place(watched, gateway, "/aliases", gateway.token(tenant="hesitant"))
    page.get_by_label("Name", exact=True).fill("Not Allowed")
    page.get_by_label("Version 1", exact=True).select_option("mv-build")
    page.get_by_role("button", name="Set alias").click()
    assert not is_asked(page)

    page.get_by_label("Name", exact=True).fill("allowed")
    page.get_by_label("Version 1", exact=True).select_option("")
    page.get_by_role("button", name="Set alias").click()
    assert not is_asked(page)

    page.get_by_label("Version 1", exact=True).select_option("mv-build")
    page.get_by_role("button", name="Set alias").click()
    expect(page.get_by_role("dialog")).to_contain_text("there is no such alias yet")
