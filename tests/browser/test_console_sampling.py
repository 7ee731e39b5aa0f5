"""Sampling options of the playground: what is typed is sent, what is wrong is not."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.console_place import complaints, open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

PLACES = ("/playground", "/playground/compare?models=mv-base,mv-build")


@pytest.fixture(autouse=True)
def _said_as_usual(gateway: LiveGateway) -> None:
    gateway.house.inference.reset()


def open_options(watched: WatchedPage, gateway: LiveGateway, place: str = PLACES[0]) -> Page:
    page = open_place(watched, gateway, place, gateway.token())
    page.get_by_text("More sampling options").click()
    return page


def sent(page: Page) -> dict[str, Any]:
    """What a model is asked."""
    with page.expect_request("**/v1/chat/completions") as asked:
        page.get_by_role("button", name="Send").click()
    return dict(asked.value.post_data_json)


@pytest.mark.parametrize("place", PLACES)
def test_top_p_seed_and_stops_are_sent_as_they_are_typed(
    watched: WatchedPage, gateway: LiveGateway, place: str
):
    page = open_options(watched, gateway, place)
    page.get_by_label("Top-p").fill("0.5")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Stop at these texts").fill("END\n\\n\\n, and")
    page.get_by_label("Message").fill("hello")
    body = sent(page)

    assert (body["top_p"], body["seed"], body["stop"]) == (0.5, 7, ["END", "\n\n, and"])
    expect(page.locator("article.assistant .speed").first).to_contain_text("tokens")
    options = gateway.house.inference.requests[-1].options
    assert (options.top_p, options.seed) == (0.5, 7)
    assert list(options.stop) == ["END", "\n\n, and"]
    assert complaints(watched) == []


def test_nothing_of_it_is_sent_where_nothing_is_typed(watched: WatchedPage, gateway: LiveGateway):
    page = open_options(watched, gateway)
    page.get_by_label("Message").fill("hello")

    assert not {"top_p", "seed", "stop"} & sent(page).keys()


@pytest.mark.parametrize(
    ("label", "wrong", "right"),
    [
        ("Top-p", "1.5", "1"),
        ("Top-p", "much", "0"),
        ("Seed", "1.5", "1"),
        ("Stop at these texts", "a\nb\nc\nd\ne", "a\nb\nc\nd"),
    ],
)
def test_what_is_wrong_is_marked_and_asks_nothing(
    watched: WatchedPage, gateway: LiveGateway, label: str, wrong: str, right: str
):
    page = open_options(watched, gateway)
    field = page.get_by_label(label)
    page.get_by_label("Message").fill("hello")
    field.fill(wrong)
    expect(field).to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("article")).to_have_count(0)

    field.fill(right)

    expect(page.locator("[aria-invalid]")).to_have_count(0)
    assert sent(page)["model"]


def test_the_texts_to_take_along_have_it(watched: WatchedPage, gateway: LiveGateway):
    page = open_options(watched, gateway)
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Stop at these texts").fill("\\n")
    page.get_by_label("Message").fill("hello")

    curl = page.get_by_label("curl", exact=True).text_content() or ""
    body = json.loads(curl.partition("-d '")[2].removesuffix("'"))
    assert (body["seed"], body["stop"]) == (7, ["\n"])
    expect(page.get_by_label("Python", exact=True)).to_contain_text("seed=7")
