"""Webhooks in the console: made, given new secrets, deleted, and not to be seen."""

import re
from collections.abc import Iterator

import pytest
from modelmill_gateway.domain.webhooks import EVENT_TYPES
from playwright.sync_api import expect

from tests.browser.console_place import ask, complaints, confirm, open_place
from tests.browser.live_gateway import LiveGateway, built_console, live_gateway
from tests.browser.watched_page import WatchedPage


def test_an_endpoint_that_is_not_there_is_told_in_the_words_of_the_api(
    watched: WatchedPage, gateway: LiveGateway
):
    page = open_place(watched, gateway, "/webhooks/wh-none", gateway.token(tenant="hooked"))

    expect(page.get_by_role("alert").first).to_contain_text("wh-none")


def test_who_may_not_see_webhooks_is_told_why(watched: WatchedPage, gateway: LiveGateway):
    page = open_place(watched, gateway, "/webhooks", gateway.token(scope="chat"))

    expect(page.get_by_role("alert")).to_contain_text("scope webhooks")


HOOK = "http://127.0.0.1:9000/hook"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """One that tells endpoints of this machine, too."""
    settings = {"console_folder": built_console(), "webhook_allow_private": True}
    with live_gateway(tmp_path_factory.mktemp("gateway"), **settings) as running:
        yield running


def test_an_endpoint_is_made_with_the_events_that_were_chosen_and_its_secret_shown_once(
    watched: WatchedPage, gateway: LiveGateway
):
    token = gateway.token(tenant="hookers")
    page = open_place(watched, gateway, "/webhooks", token)
    page.get_by_text("New webhook", exact=True).click()
    offered = page.get_by_role("checkbox").locator("..").all_inner_texts()
    assert offered == list(EVENT_TYPES)
    page.get_by_label("URL of the endpoint").fill(HOOK)
    for event in EVENT_TYPES[1:]:
        page.get_by_label(event, exact=True).uncheck()
    page.get_by_role("button", name="Create webhook").click()

    expect(page.get_by_label("Signing secret", exact=True)).to_have_value(re.compile("^whsec_"))
    expect(page.get_by_role("row").filter(has_text=HOOK)).to_contain_text(EVENT_TYPES[0])
    (made,) = ask(gateway, token, "GET", "/v1/webhooks")["data"]
    assert (made["url"], made["events"]) == (HOOK, [EVENT_TYPES[0]])
    secret = page.get_by_label("Signing secret", exact=True).input_value()
    page.reload()
    expect(page.get_by_role("row").filter(has_text=HOOK)).to_be_visible()
    assert secret not in page.content()
    assert complaints(watched) == []


def test_an_address_that_cannot_be_is_refused_in_the_words_of_the_api(
    watched: WatchedPage, gateway: LiveGateway
):
    page = open_place(watched, gateway, "/webhooks", gateway.token(tenant="misled"))
    page.get_by_text("New webhook", exact=True).click()
    page.get_by_label("URL of the endpoint").fill("https://user:word@example.com/")
    page.get_by_role("button", name="Create webhook").click()

    expect(page.get_by_role("alert")).to_contain_text("url")
    expect(page.get_by_label("URL of the endpoint")).to_have_value("https://user:word@example.com/")


def test_an_endpoint_gets_a_new_secret_and_is_deleted_after_questions(
    watched: WatchedPage, gateway: LiveGateway
):
    token = gateway.token(tenant="rotated")
    made = ask(gateway, token, "POST", "/v1/webhooks", url=HOOK)
    page = open_place(watched, gateway, f"/webhooks/{made['id']}", token)
    confirm(page, "New secret")
    expect(page.get_by_label("Signing secret", exact=True)).to_have_value(re.compile("^whsec_"))
    assert page.get_by_label("Signing secret", exact=True).input_value() != made["secret"]
    shown = ask(gateway, token, "GET", f"/v1/webhooks/{made['id']}")
    assert shown["previous_secret_until"] is not None

    confirm(page, "Delete webhook")

    expect(page.get_by_role("heading", name="Webhooks")).to_be_visible()
    expect(page.get_by_text("There are no webhooks")).to_be_visible()
    assert ask(gateway, token, "GET", "/v1/webhooks")["data"] == []
    assert complaints(watched) == []


def test_an_endpoint_is_given_another_address_and_other_events(
    watched: WatchedPage, gateway: LiveGateway
):
    token = gateway.token(tenant="moved")
    made = ask(gateway, token, "POST", "/v1/webhooks", url=HOOK, events=["model.ready"])
    page = open_place(watched, gateway, f"/webhooks/{made['id']}", token)
    page.get_by_text("Change webhook", exact=True).click()
    expect(page.get_by_label("URL of the endpoint")).to_have_value(HOOK)
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(1)
    page.get_by_label("URL of the endpoint").fill(f"{HOOK}/2")
    page.get_by_label("job.failed", exact=True).check()
    page.get_by_role("button", name="Save changes").click()

    expect(page.get_by_text("job.failed, model.ready")).to_be_visible()
    changed = ask(gateway, token, "GET", f"/v1/webhooks/{made['id']}")
    assert (changed["url"], changed["events"]) == (f"{HOOK}/2", ["job.failed", "model.ready"])
    assert complaints(watched) == []
