"""Webhooks in the console: endpoints, a test event, and what became of each delivery."""

from collections.abc import Iterator

import pytest
from modelmill_testkit.ports import free_port
from playwright.sync_api import Locator, Page, expect

from tests.browser.console_place import ask, complaints, open_place
from tests.browser.live_gateway import LiveGateway, built_console, live_gateway
from tests.browser.watched_page import WatchedPage

HOSTILE_QUERY = "?q=<svg/onload='window.ran=3'>"
LONG_SECONDS = 20_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """One that sends to addresses of this machine."""
    folder = tmp_path_factory.mktemp("gateway")
    settings = {"console_folder": built_console(), "webhook_allow_private": True}
    with live_gateway(folder, **settings) as running:
        yield running


def deliveries(page: Page) -> Locator:
    return page.get_by_role("region", name="Deliveries")


def test_a_test_event_is_sent_and_its_delivery_shown(watched: WatchedPage, gateway: LiveGateway):
    token = gateway.token(tenant="hooked")
    nobody = f"http://127.0.0.1:{free_port()}/{HOSTILE_QUERY}"
    made = ask(gateway, token, "POST", "/v1/webhooks", url=nobody, events=["job.failed"])
    page = open_place(watched, gateway, "/webhooks", token)
    expect(page.get_by_role("row", name="job.failed")).to_contain_text("enabled")
    page.get_by_role("link", name=nobody).click()
    expect(deliveries(page)).to_contain_text("Nothing was delivered")

    page.get_by_role("button", name="Send a test event").click()
    expect(page.get_by_role("status")).to_contain_text("A test event is sent")
    attempt = deliveries(page).get_by_role("row", name="webhook.test")
    expect(attempt).to_contain_text("unreachable", timeout=LONG_SECONDS)

    page.get_by_role("button", name="Disable").click()
    expect(page.locator(".status.disabled")).to_be_visible()
    assert not ask(gateway, token, "GET", f"/v1/webhooks/{made['id']}")["enabled"]
    page.get_by_role("button", name="Enable").click()
    expect(page.locator(".status.enabled")).to_be_visible()
    assert made["secret"] not in page.content()
    assert page.evaluate("window.ran") is None
    assert complaints(watched) == []


def test_an_endpoint_that_is_not_there_is_told_in_the_words_of_the_api(
    watched: WatchedPage, gateway: LiveGateway
):
    page = open_place(watched, gateway, "/webhooks/wh-none", gateway.token(tenant="hooked"))

    expect(page.get_by_role("alert").first).to_contain_text("wh-none")


def test_who_may_not_see_webhooks_is_told_why(watched: WatchedPage, gateway: LiveGateway):
    page = open_place(watched, gateway, "/webhooks", gateway.token(scope="chat"))

    expect(page.get_by_role("alert")).to_contain_text("scope webhooks")
