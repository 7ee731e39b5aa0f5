"""Webhooks in the console: what is told where an endpoint is not there or not to be seen."""

from playwright.sync_api import expect

from tests.browser.console_place import open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage


def test_an_endpoint_that_is_not_there_is_told_in_the_words_of_the_api(
    watched: WatchedPage, gateway: LiveGateway
):
    page = open_place(watched, gateway, "/webhooks/wh-none", gateway.token(tenant="hooked"))

    expect(page.get_by_role("alert").first).to_contain_text("wh-none")


def test_who_may_not_see_webhooks_is_told_why(watched: WatchedPage, gateway: LiveGateway):
    page = open_place(watched, gateway, "/webhooks", gateway.token(scope="chat"))

    expect(page.get_by_role("alert")).to_contain_text("scope webhooks")
