"""Logged requests in the console: shown as texts, chosen by user, and deleted for good."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.console_place import ask, complaints, confirm, open_place
from tests.browser.live_gateway import LiveGateway, built_console, live_gateway
from tests.browser.watched_page import WatchedPage

MARKUP = "<b>bold</b> & <script>alert(1)</script>"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """One that stores what it logs at once."""
    settings = {"console_folder": built_console(), "log_seconds": 0.05}
    with live_gateway(tmp_path_factory.mktemp("gateway"), **settings) as running:
        yield running


def asked(gateway: LiveGateway, token: str, text: str, user: str) -> None:
    message = {"role": "user", "content": text}
    body = {"model": "kept", "messages": [message], "user": user}
    ask(gateway, token, "POST", "/v1/chat/completions", **body)


def test_texts_are_shown_as_they_are_and_those_of_a_user_are_deleted(
    watched: WatchedPage, gateway: LiveGateway
):
    token = gateway.token(tenant="loggers")
    ask(gateway, token, "PUT", "/v1/aliases/kept", version_id="mv-build", store=True)
    asked(gateway, token, MARKUP, "ann")
    asked(gateway, token, "of ben", "ben")
    page = open_place(watched, gateway, "/logs", token)
    shown = page.get_by_role("article")
    expect(shown).to_have_count(2)
    expect(page.get_by_text(MARKUP, exact=True)).to_be_visible()

    page.get_by_label("User", exact=True).fill("ann")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(shown).to_have_count(1)
    confirm(page, "Delete the texts of ann")

    expect(shown.first).to_contain_text("The texts were deleted")
    expect(page.get_by_text(MARKUP, exact=True)).to_have_count(0)
    kept = ask(gateway, token, "GET", "/v1/logs")["data"]
    assert [each["deleted"] for each in kept] == [False, True]
    assert complaints(watched) == []


def test_an_alias_is_told_to_log_and_stays_so_when_it_is_changed(
    watched: WatchedPage, gateway: LiveGateway
):
    token = gateway.token(tenant="tellers")
    ask(gateway, token, "PUT", "/v1/aliases/told", version_id="mv-build")
    page = open_place(watched, gateway, "/aliases/told", token)
    page.get_by_label("Log requests and answers").check()
    confirm(page, "Set alias")
    expect(page.get_by_text("logged", exact=True).first).to_be_visible()
    [alias] = [it for it in ask(gateway, token, "GET", "/v1/aliases")["data"] if it["id"] == "told"]
    assert alias["store"] is True

    expect(page.get_by_label("Log requests and answers")).to_be_checked()


def test_who_logs_nothing_is_told_how(watched: WatchedPage, gateway: LiveGateway):
    page = open_place(watched, gateway, "/logs", gateway.token(tenant="silent"))

    expect(page.get_by_text("mill models alias NAME VERSION --store")).to_be_visible()
