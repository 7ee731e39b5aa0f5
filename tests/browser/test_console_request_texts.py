"""Texts of the playground to take along: they ask the same elsewhere, and hold no key."""

import json
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import open_place
from tests.browser.console_texts import LANGUAGES, ConsoleTexts
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

TOOLS = [{"type": "function", "function": {"name": "weather", "strict": None}}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
QUESTION = "\\ \"it's\"\n\u2028\t'''" + HOSTILE[1]


@pytest.fixture(autouse=True)
def _said_as_usual(gateway: LiveGateway) -> None:
    gateway.house.inference.reset()


@pytest.fixture
def page(watched: WatchedPage, gateway: LiveGateway) -> Page:
    return open_place(watched, gateway, "/playground", gateway.token())


def text_of(page: Page, name: str) -> str:
    """As its button copies it."""
    return page.get_by_label(name, exact=True).text_content() or ""


def ask_with_everything(page: Page) -> None:
    page.get_by_label("System prompt").fill(HOSTILE[0])
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_text("Tools and JSON schema").click()
    page.get_by_label("Tools, a JSON list").fill(json.dumps(TOOLS))
    page.get_by_label("JSON schema of the answer").fill(json.dumps(SCHEMA))
    page.get_by_label("Message").fill(QUESTION)
    with page.expect_request("**/v1/chat/completions"):
        page.get_by_role("button", name="Send").click()
    expect(page.locator("article.assistant .speed")).to_contain_text("tokens")


def test_the_python_text_asks_the_same_with_openais_client(
    page: Page, gateway: LiveGateway, monkeypatch: pytest.MonkeyPatch
):
    ask_with_everything(page)
    text, inference = text_of(page, "Python"), gateway.house.inference
    asked = inference.requests[-1]

    monkeypatch.setenv("MODELMILL_TOKEN", gateway.token())
    names: dict[str, Any] = {}
    with redirect_stdout(StringIO()) as printed:
        exec(text, names)
    names["client"].close()

    again = inference.requests[-1]
    assert len(inference.requests) == 2
    assert [(turn.role, turn.content) for turn in again.conversation.messages] == [
        (turn.role, turn.content) for turn in asked.conversation.messages
    ]
    assert asked.conversation.messages[1].content == QUESTION
    assert again.options == asked.options
    assert again.conversation.tools == asked.conversation.tools
    assert printed.getvalue() == "Hello, world\n"


def test_texts_hold_the_name_of_a_variable_and_never_the_key(page: Page, gateway: LiveGateway):
    kept = page.evaluate("Object.values(sessionStorage)")
    tokens = [each for each in kept if each.count(".") == 2]
    ask_with_everything(page)

    assert tokens
    for name in ("curl", "Python"):
        assert "MODELMILL_TOKEN" in text_of(page, name)
        assert not [token for token in tokens if token in text_of(page, name)]


def test_the_request_just_made_is_shown_until_another_is_written(page: Page):
    ask_with_everything(page)
    expect(page.get_by_label("Message")).to_have_value("")
    assert "window.ran = 2" in text_of(page, "Python")
    assert text_of(page, "Python").count('"role": "user"') == 1

    page.get_by_label("Message").fill("And tomorrow?")

    assert '"And tomorrow?"' in text_of(page, "Python")
    assert text_of(page, "Python").count('"role": "user"') == 2
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Message").fill("")
    assert text_of(page, "Python").count('"role": "user"') == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_found_and_copied_in_each_language(
    watched: WatchedPage, gateway: LiveGateway, language: str
):
    page, say = watched.page, ConsoleTexts(language)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_place(watched, gateway, "/playground", gateway.token())
    page.locator("header select, nav select").first.select_option(language)
    page.get_by_label(say("play.message")).fill("hello")
    page.get_by_text(say("play.python"), exact=True).click()
    expect(page.get_by_text(say("play.python_needs"))).to_be_visible()
    page.get_by_role("button", name=say("copy.named", name="Python")).click()

    expect(page.get_by_text(say("copy.done")).first).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == text_of(page, "Python")
