"""Models side by side in the console: on a phone, refused alone, with tools and a schema."""

import json

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_checks import PHONE_WIDTH, serious_findings
from tests.browser.console_place import open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

from gateway_support.peers import prompt_too_long  # isort: skip - a part of other tests

MODELS = ("mv-base", "mv-build", "mv-tuned", "default")
TOOLS = [{"type": "function", "function": {"name": "weather"}}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.fixture(autouse=True)
def _said_as_usual(gateway: LiveGateway) -> None:
    gateway.house.inference.reset()


def ask_all(page: Page) -> None:
    page.get_by_label("Message").fill("say something")
    page.get_by_label("Message").press("Control+Enter")


def test_four_columns_stand_below_each_other_on_a_phone_without_a_serious_finding(
    browser: Browser, gateway: LiveGateway
):
    gateway.house.inference.pieces = list(HOSTILE)
    page = browser.new_page(
        viewport={"width": PHONE_WIDTH, "height": 800}, color_scheme="dark", bypass_csp=True
    )
    try:
        place = f"/playground/compare?models={','.join(MODELS)}"
        open_place(WatchedPage(page), gateway, place, gateway.token())
        ask_all(page)
        for column in page.locator("section.column").all():
            expect(column.locator(".speed")).to_contain_text("tokens")
            expect(column.locator("article.assistant .text")).to_have_text(
                "".join(HOSTILE), use_inner_text=True
            )
            column.get_by_role("button", name="Correct it").click()
        boxes = [each.bounding_box() for each in page.locator("section.column").all()]
        tops = [box["y"] for box in boxes if box is not None]

        assert len(set(tops)) == len(MODELS)
        assert tops == sorted(tops)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH
        assert page.get_by_role("button", name="Add a model").count() == 0
        assert serious_findings(page) == []
    finally:
        page.close()


def test_a_model_that_is_refused_says_why_in_its_column_and_the_others_answer(
    watched: WatchedPage, gateway: LiveGateway
):
    gateway.house.inference.fail_versions = {"mv-tuned": prompt_too_long()}
    place = "/playground/compare?models=mv-build,mv-tuned"
    page = open_place(watched, gateway, place, gateway.token())
    ask_all(page)

    first, second = page.locator("section.column").all()
    expect(first.locator("article.assistant .text")).to_have_text("Hello, world")
    expect(second.get_by_role("alert")).to_contain_text("900 tokens")
    assert second.locator("article").count() == 0
    expect(page.get_by_label("Message")).to_have_value("")


def test_tools_and_schema_are_sent_and_what_is_no_json_is_not(
    watched: WatchedPage, gateway: LiveGateway
):
    page = open_place(watched, gateway, "/playground", gateway.token())
    page.get_by_text("Tools and JSON schema").click()
    page.get_by_label("Tools, a JSON list").fill(json.dumps(SCHEMA))
    expect(page.get_by_text("must be a JSON list of tools")).to_be_visible()
    ask_all(page)
    assert page.locator("article").count() == 0
    assert gateway.house.inference.requests == []

    page.get_by_label("Tools, a JSON list").fill(json.dumps(TOOLS))
    with page.expect_request("**/v1/chat/completions") as sent:
        page.get_by_role("button", name="Send").click()
    assert sent.value.post_data_json["tools"] == TOOLS

    expect(page.locator("article.assistant code")).to_have_text("mv-build")
    page.get_by_label("Tools, a JSON list").fill("")
    page.get_by_label("JSON schema of the answer").fill(json.dumps(SCHEMA))
    ask_all(page)
    expect(page.locator("article.user")).to_have_count(2)
    constraint = gateway.house.inference.requests[-1].options.constraint
    assert json.loads(constraint.json_schema) == SCHEMA


def test_a_call_of_a_tool_is_shown_as_text(watched: WatchedPage, gateway: LiveGateway):
    inference = gateway.house.inference
    inference.pieces, inference.calls = [], [("weather", '{"city": "<b>Bonn</b>"}')]
    inference.finish_reason = "tool_calls"
    page = open_place(watched, gateway, "/playground", gateway.token())
    page.get_by_text("Tools and JSON schema").click()
    page.get_by_label("Tools, a JSON list").fill(json.dumps(TOOLS))
    ask_all(page)

    call = page.locator("article.assistant code").nth(1)
    expect(call).to_have_text('weather({"city": "<b>Bonn</b>"})')
