"""API keys in the console: nobody is offered what they lack; the last use, and long lists."""

import re
import time

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.console_place import ask, complaints, go_to, open_place, record_usage, settled
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

DAY = 86400


def make_key(gateway: LiveGateway, credential: str, name: str, **fields: object) -> dict[str, str]:
    made: dict[str, str] = ask(gateway, credential, "POST", "/v1/keys", name=name, **fields)
    return made


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def cell(page: Page, name: str, column: str) -> Locator:
    expect(row(page, name)).to_be_visible()
    heads = page.locator("thead th").all_inner_texts()
    return row(page, name).locator("th, td").nth(heads.index(column))


def test_scopes_that_the_caller_lacks_are_not_offered(watched: WatchedPage, gateway: LiveGateway):
    token = gateway.token(tenant="lesser", scope="keys files")
    page = open_place(watched, gateway, "/keys/new", token)
    offered = page.get_by_role("checkbox")
    assert offered.locator("..").all_inner_texts() == ["files", "keys"]

    key = make_key(gateway, token, "lesser still", scopes=["keys"])["key"]
    page.evaluate("key => sessionStorage.setItem('modelmill.credential', key)", key)
    page.reload()
    settled(page)

    assert offered.locator("..").all_inner_texts() == ["keys"]


def test_a_key_without_a_scope_is_refused_in_the_words_of_the_api(
    watched: WatchedPage, gateway: LiveGateway
):
    page = open_place(watched, gateway, "/keys/new", gateway.token(tenant="scopeless"))
    page.get_by_label("Name", exact=True).fill("support bot")
    for scope in ("chat", "models:read"):
        page.get_by_label(scope, exact=True).uncheck()
    page.get_by_role("button", name="Create key").click()

    expect(page.get_by_role("alert")).to_contain_text("scopes")
    expect(page.get_by_label("Name", exact=True)).to_have_value("support bot")


def test_the_day_of_the_last_use_is_shown_or_which_scope_is_missing(
    watched: WatchedPage, gateway: LiveGateway
):
    token = gateway.token(tenant="user")
    used, idle = (make_key(gateway, token, name)["id"] for name in ("used", "idle"))
    record_usage(gateway, "user", time.time() - DAY, key_id=used)
    page = open_place(watched, gateway, "/keys", token)

    expect(cell(page, "used", "Last used")).to_have_text("yesterday")
    expect(cell(page, "idle", "Last used")).to_have_text("not in 31 days")
    go_to(page, f"/keys/{idle}")
    expect(page.get_by_role("region", name="Limits")).to_contain_text("Tokens per minute")

    lesser = gateway.token(tenant="user", scope="keys")
    page.evaluate("it => sessionStorage.setItem('modelmill.credential', it)", lesser)
    page.goto(f"{gateway.url}/console/index.html#/keys")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("scope usage")
    expect(cell(page, "used", "Status")).to_have_text("active")


def test_more_keys_than_a_page_are_loaded_when_somebody_asks(
    watched: WatchedPage, gateway: LiveGateway
):
    token = gateway.token(tenant="many")
    for n in range(25):
        make_key(gateway, token, f"key {n}")
    page = open_place(watched, gateway, "/keys", token)
    expect(page.locator("tbody tr")).to_have_count(20)

    page.get_by_role("button", name="Load more").click()

    expect(page.locator("tbody tr")).to_have_count(25)
    expect(page.get_by_role("button", name="Load more")).to_have_count(0)


@pytest.mark.parametrize("place", ["/keys", "/keys/new"])
def test_who_may_not_see_keys_is_told_why(watched: WatchedPage, gateway: LiveGateway, place: str):
    page = open_place(watched, gateway, place, gateway.token(scope="chat"))

    expect(page.get_by_role("alert").first).to_contain_text("scope keys")
    assert complaints(watched) == []


def test_a_key_gets_a_new_secret_after_a_question_and_the_old_one_is_refused(
    watched: WatchedPage, gateway: LiveGateway
):
    token = gateway.token(tenant="renewed")
    made = make_key(gateway, token, "renewed", scopes=["models:read"])
    page = open_place(watched, gateway, f"/keys/{made['id']}", token)
    page.get_by_role("button", name="New secret").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("renewed")
    dialog.get_by_role("button", name="New secret").click()

    secret = page.get_by_label("API key", exact=True)
    expect(secret).to_have_value(re.compile("^mm-"))
    assert secret.input_value() != made["key"]
    assert ask(gateway, secret.input_value(), "GET", "/v1/me")["key_id"] == made["id"]
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        ask(gateway, made["key"], "GET", "/v1/me")
    go_to(page, "/keys")
    expect(row(page, "renewed")).to_contain_text(secret_start(gateway, token, made["id"]))
    assert complaints(watched) == []


def secret_start(gateway: LiveGateway, token: str, key_id: str) -> str:
    return str(ask(gateway, token, "GET", f"/v1/keys/{key_id}")["prefix"])


def test_limits_of_a_key_are_set_and_what_else_it_has_stays(
    watched: WatchedPage, gateway: LiveGateway
):
    token = gateway.token(tenant="limited-keys")
    made = make_key(gateway, token, "limited", scopes=["chat"], models=["tiny"])
    page = open_place(watched, gateway, f"/keys/{made['id']}", token)
    page.get_by_label("Tokens per minute", exact=True).fill("1000")
    page.get_by_role("button", name="Set limits").click()
    expect(page.get_by_text("The limits are set.")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="Tokens per minute")).to_contain_text("1,000")

    shown = ask(gateway, token, "GET", f"/v1/keys/{made['id']}")
    assert shown["limits"]["tokens_per_minute"] == 1000
    assert (shown["name"], shown["scopes"], shown["models"]) == ("limited", ["chat"], ["tiny"])
    assert complaints(watched) == []


def test_a_revoked_key_has_no_limits_to_set(watched: WatchedPage, gateway: LiveGateway):
    token = gateway.token(tenant="limited-keys")
    made = make_key(gateway, token, "gone")
    ask(gateway, token, "DELETE", f"/v1/keys/{made['id']}")
    page = open_place(watched, gateway, f"/keys/{made['id']}", token)

    expect(page.get_by_role("region", name="Limits")).to_be_visible()
    expect(page.get_by_role("button", name="Set limits")).to_have_count(0)
