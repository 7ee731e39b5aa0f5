"""Hints of the training form in the language of whoever reads it."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.console_place import go_to
from tests.browser.live_gateway import LiveGateway

LEAST = 20


@pytest.mark.parametrize(("locale", "is_english"), [("en-GB", True), ("zh-CN", False)])
def test_hints_of_the_training_form_are_in_its_language(
    browser: Browser, gateway: LiveGateway, locale: str, *, is_english: bool
):
    page = browser.new_page(locale=locale)
    try:
        page.goto(f"{gateway.url}/console/index.html#token={gateway.token()}")
        go_to(page, "/jobs/new?model=mv-base")
        hints, english = page.locator(".field small[id$=-help]"), page.locator("small[lang=en]")
        expect(hints.nth(LEAST)).to_be_attached()

        assert english.count() == (hints.count() if is_english else 0)
    finally:
        page.close()
