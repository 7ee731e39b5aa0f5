"""Journeys through the console in English and Chinese, beside a gateway as it runs.

Each runs in one language, in turns; with `--both-languages` in both.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.console_place import complaints
from tests.browser.console_texts import LANGUAGES, ConsoleTexts, in_another_language
from tests.browser.console_visitor import ConsoleVisitor
from tests.browser.journeys.listed import JOURNEYS, ConsoleJourney
from tests.browser.live_gateway import LiveGateway, built_console, live_gateway
from tests.browser.watched_page import WatchedPage

LEAST = 20


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each journey and language that it is to be made in."""
    if "journey" not in metafunc.fixturenames:
        return
    has_all = metafunc.config.getoption("--both-languages", default=False)
    ways = [
        pytest.param(journey, language, id=f"{language}: {journey.name}")
        for number, journey in enumerate(JOURNEYS)
        for place, language in enumerate(LANGUAGES)
        if has_all or number % len(LANGUAGES) == place
    ]
    metafunc.parametrize(("journey", "language"), ways)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """One that also sends webhooks to addresses of this machine."""
    folder = tmp_path_factory.mktemp("gateway")
    settings = {"console_folder": built_console(), "webhook_allow_private": True}
    with live_gateway(folder, **settings) as running:
        yield running


@pytest.fixture
def visitor(
    browser: Browser, gateway: LiveGateway, language: str, tmp_path: Path
) -> Iterator[ConsoleVisitor]:
    """With a browser of the language."""
    viewport = {"width": 1280, "height": 900}
    page = browser.new_page(locale=LANGUAGES[language], viewport=viewport)  # type: ignore[arg-type]
    yield ConsoleVisitor(WatchedPage(page), gateway, ConsoleTexts(language), tmp_path)
    page.close()


def test_a_journey_is_made_in_its_language_to_its_end(
    visitor: ConsoleVisitor, journey: ConsoleJourney
):
    journey.walk(visitor)

    assert in_another_language(visitor.page, visitor.say) == []
    assert visitor.page.evaluate("window.ran") is None
    assert complaints(visitor.watched) == []


def test_the_list_has_twenty_journeys_and_says_of_each_what_it_shows():
    assert len({journey.name for journey in JOURNEYS}) == len(JOURNEYS) >= LEAST
    assert [journey.name for journey in JOURNEYS if not journey.shows] == []
