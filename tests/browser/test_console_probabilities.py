"""Probabilities of tokens in the playground: shown by shade and in words, or why there are none."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from modelmill.registry.v1.model_events_pb2 import ModelServing, ServingAbilities, ServingState
from modelmill_bus.subjects import MODEL_SERVING
from modelmill_testkit.waiting import eventually
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_checks import PHONE_WIDTH, serious_findings
from tests.browser.console_place import complaints, open_place
from tests.browser.console_texts import LANGUAGES, ConsoleTexts
from tests.browser.live_gateway import TENANT, LiveGateway
from tests.browser.watched_page import WatchedPage

CHAT = "**/v1/chat/completions"
TOOLS = [{"type": "function", "function": {"name": "weather"}}]
PIECES = ["The ", HOSTILE[0], " \nend"]


@pytest.fixture(autouse=True)
def _said_as_usual(gateway: LiveGateway) -> None:
    gateway.house.inference.reset()
    gateway.house.inference.pieces = list(PIECES)
    gateway.house.inference.alternatives = [b"A ", HOSTILE[1].encode(), b"No "]


def able(gateway: LiveGateway, version_id: str, abilities: ServingAbilities) -> str:
    """A version that an engine with these abilities has loaded; its id."""
    house, told = gateway.house, {"tenant": TENANT, "name": version_id, "form": "safetensors"}
    serving = ModelServing(version_id=version_id, replica="inference-1", abilities=abilities)
    serving.state = ServingState.SERVING_STATE_READY

    async def is_told() -> bool:
        answer = await house.http(tenant=TENANT).get(f"/v1/models/{version_id}")
        return answer.is_success and answer.json()["capabilities"] is not None

    gateway.run(house.say_model(version_id, **told))
    gateway.run(house.bus.publish(MODEL_SERVING, serving))
    gateway.run(eventually(is_told))
    return version_id


def talk(watched: WatchedPage, gateway: LiveGateway, model: str) -> Page:
    """The playground, where this model is asked for probabilities next."""
    page = open_place(watched, gateway, "/playground", gateway.token())
    page.get_by_role("combobox", name="Model").select_option(model)
    page.get_by_role("switch", name="Probabilities of tokens").check()
    return page


def ask(page: Page) -> Mapping[str, Any]:
    """Ask something, until the answer has ended; the body that was sent."""
    page.get_by_label("Message").fill("say something")
    with page.expect_request(CHAT) as sent:
        page.get_by_label("Message").press("Control+Enter")
    expect(page.get_by_role("button", name="Good answer").last).to_be_visible()
    body: Mapping[str, Any] = sent.value.post_data_json
    return body


def tokens_of(page: Page) -> Locator:
    return page.get_by_role("listbox").get_by_role("option")


def told(page: Page) -> Locator:
    """What is said of the token that somebody looks at."""
    return page.locator("article .alternatives")


def test_tokens_are_shaded_and_their_alternatives_come_by_mouse_and_by_keyboard(
    watched: WatchedPage, gateway: LiveGateway
):
    able(gateway, "mv-three", ServingAbilities(top_logprobs=3))
    page = talk(watched, gateway, "mv-three")
    body = ask(page)

    assert (body["logprobs"], body["top_logprobs"]) == (True, 3)
    assert [each.text_content() for each in tokens_of(page).all()] == [
        *PIECES[:2],
        " ↵\nend",
    ]
    expect(tokens_of(page).first).to_have_class("token level2")
    page.get_by_role("listbox").focus()
    expect(told(page)).to_contain_text('"The " 37%')
    expect(told(page).get_by_role("listitem")).to_have_text(['"A " 14%', f"{quoted(1)} 5%"])
    page.keyboard.press("ArrowRight")
    expect(told(page)).to_contain_text(f"{quoted(0)} 37%")
    expect(tokens_of(page).nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("End")
    expect(told(page)).to_contain_text('" \\nend" 37%')
    page.keyboard.press("ArrowRight")
    expect(told(page)).to_contain_text('" \\nend" 37%')
    tokens_of(page).first.hover()
    expect(told(page)).to_contain_text('"The " 37%')
    assert page.evaluate("window.ran") is None
    assert complaints(watched) == []


def quoted(number: int) -> str:
    return json.dumps(HOSTILE[number], ensure_ascii=False)


def test_an_engine_without_probabilities_is_named_and_not_asked_for_them(
    watched: WatchedPage, gateway: LiveGateway
):
    able(gateway, "mv-mute", ServingAbilities(exact=True))
    page = talk(watched, gateway, "mv-mute")

    expect(page.get_by_role("note")).to_contain_text("gives no probabilities of tokens")
    assert "logprobs" not in ask(page)
    expect(page.locator("article.assistant .text")).to_have_text("".join(PIECES))
    expect(page.get_by_role("listbox")).to_have_count(0)


def test_of_a_version_that_no_engine_has_loaded_no_alternatives_are_asked_for(
    watched: WatchedPage, gateway: LiveGateway
):
    page = talk(watched, gateway, "mv-base")
    body = ask(page)

    assert (body["logprobs"], "top_logprobs" in body) == (True, False)
    tokens_of(page).last.click()
    expect(told(page)).to_contain_text("the engine names no alternatives")


def test_with_tools_none_are_asked_for_and_the_page_says_so(
    watched: WatchedPage, gateway: LiveGateway
):
    page = talk(watched, gateway, "mv-base")
    page.get_by_text("Tools and JSON schema").click()
    page.get_by_label("Tools, a JSON list").fill(json.dumps(TOOLS))

    expect(page.get_by_role("note")).to_contain_text("With tools")
    assert "logprobs" not in ask(page)


def answer_with(page: Page, text: str, tokens: Sequence[tuple[bytes, float]]) -> None:
    """Let the next question be answered by this, whatever an engine says."""
    content = [
        {"token": "?", "bytes": list(name), "logprob": logprob, "top_logprobs": []}
        for name, logprob in tokens
    ]
    choice = {"delta": {"content": text}, "logprobs": {"content": content} if content else None}
    ended = {"delta": {}, "finish_reason": "stop"}
    chunks = [json.dumps({"choices": [{"index": 0, **each}]}) for each in (choice, ended)]
    lines = "".join(f"data: {each}\n\n" for each in (*chunks, "[DONE]"))
    headers = {"content-type": "text/event-stream", "x-request-id": "req-1"}

    def fulfill(route: Route) -> None:
        route.fulfill(headers=headers, body=lines)

    page.route(CHAT, fulfill)


def test_parts_of_a_character_are_one_token(watched: WatchedPage, gateway: LiveGateway):
    page = talk(watched, gateway, "mv-base")
    half = "包".encode()
    answer_with(page, "a包", [(b"a", -0.01), (half[:1], -1.0), (half[1:], -1.0)])
    ask(page)

    assert [each.text_content() for each in tokens_of(page).all()] == ["a", "包"]
    expect(tokens_of(page).first).to_have_class("token level0")
    expect(tokens_of(page).last).to_have_accessible_name("包 14%")


@pytest.mark.parametrize("language", LANGUAGES)
def test_that_none_came_is_said_in_each_language(
    watched: WatchedPage, gateway: LiveGateway, language: str
):
    page, say = talk(watched, gateway, "mv-base"), ConsoleTexts(language)
    answer_with(page, "Hello", [])
    ask(page)
    page.get_by_label("Language").select_option(language)

    expect(page.get_by_text(say("prob.none_came"))).to_be_visible()
    expect(page.get_by_role("switch", name=say("prob.ask"))).to_be_checked()
    expect(page.locator("article.assistant .text")).to_have_text("Hello")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_two_columns_with_tokens_fit_a_phone_without_a_serious_finding(
    browser: Browser, gateway: LiveGateway, theme: str
):
    able(gateway, "mv-two", ServingAbilities(top_logprobs=2))
    able(gateway, "mv-none", ServingAbilities(exact=True))
    width = {"width": PHONE_WIDTH, "height": 800}
    page = browser.new_page(viewport=width, color_scheme=theme, bypass_csp=True)  # type: ignore[arg-type]
    try:
        place = "/playground/compare?models=mv-two,mv-none"
        open_place(WatchedPage(page), gateway, place, gateway.token())
        page.get_by_role("switch", name="Probabilities of tokens").check()
        ask(page)
        first, second = page.locator("section.column").all()
        first.get_by_role("option").last.click()

        expect(first.locator(".alternatives")).to_contain_text("37%")
        expect(second.get_by_role("note")).to_contain_text("gives no probabilities")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH
        assert serious_findings(page) == []
    finally:
        page.close()
