"""Notes of estimates in the console: in the reader's language by their codes."""

from typing import Any

import pytest
from modelmill_gateway.ordering import estimate_build, estimate_evaluation
from modelmill_job_index.job_estimates import EstimateNote
from modelmill_trainer import size_training
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import open_place
from tests.browser.console_texts import LANGUAGES, ConsoleTexts
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

NOTES = [
    note
    for module in (estimate_build, estimate_evaluation, size_training)
    for note in vars(module).values()
    if isinstance(note, EstimateNote)
]
PLACE = "/jobs/new?kind=evaluate&model=default&dataset=ds-x"
ESTIMATE = "**/v1/evaluations/estimate"


def told(page: Page, say: ConsoleTexts) -> Locator:
    """What stands beside the form, once it is there."""
    found = page.get_by_role("region", name=say("estimate.title")).get_by_role("status")
    expect(found).to_have_attribute("aria-busy", "false")
    return found


def test_every_note_has_a_message_and_the_english_one_is_that_of_the_api():
    english, chinese = ConsoleTexts("en"), ConsoleTexts("zh")

    assert len(NOTES) > 7
    assert [english(f"note.{note.code}") for note in NOTES] == [note.text for note in NOTES]
    assert all(chinese(f"note.{note.code}") for note in NOTES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_note_is_in_the_language_of_the_reader(
    browser: Browser, gateway: LiveGateway, language: str
):
    page = browser.new_page(locale=LANGUAGES[language])
    try:
        say, key = ConsoleTexts(language), "note.no_earlier_evaluation"
        open_place(WatchedPage(page), gateway, PLACE, gateway.token())

        expect(told(page, say)).to_contain_text(say(key))
        if language != "en":
            expect(told(page, say)).not_to_contain_text(ConsoleTexts("en")(key))
    finally:
        page.close()


def test_a_reason_and_a_note_of_a_newer_gateway_stay_in_the_words_of_the_api(
    browser: Browser, gateway: LiveGateway
):
    texts = [f"tokens and time are not known: {HOSTILE[0]}", f"something new {HOSTILE[1]}", "old"]

    def answer(route: Route) -> None:
        found: dict[str, Any] = route.fetch().json()
        route.fulfill(json={**found, "notes": texts, "note_codes": ["no_tokens", "new", ""]})

    page = browser.new_page(locale=LANGUAGES["zh"])
    try:
        page.route(ESTIMATE, answer)
        open_place(WatchedPage(page), gateway, PLACE, gateway.token())
        say = ConsoleTexts("zh")
        for text in (say("note.no_tokens"), *texts):
            expect(told(page, say)).to_contain_text(text)

        assert told(page, say).locator("[lang=en]").all_inner_texts() == texts
        assert page.evaluate("window.ran") is None
    finally:
        page.close()
