"""Somebody at the console in one language: finds everything by the messages of that language."""

from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.console_place import open_place
from tests.browser.console_texts import ConsoleTexts
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

LONG_MS = 90_000
"""What others write down in their own time: deliveries, audit records."""


@dataclass(frozen=True)
class ConsoleVisitor:
    """A browser's page, the gateway behind it, and the messages that are to be read there."""

    watched: WatchedPage
    gateway: LiveGateway
    say: ConsoleTexts
    folder: Path
    """For files of its own."""

    @property
    def page(self) -> Page:
        """Of the browser."""
        return self.watched.page

    def own(self, name: str) -> str:
        """A name that the same journey in another language does not have."""
        return f"{name}-{self.say.language}"

    def open(self, place: str, **claims: str) -> Page:
        """Sign in with a token of these claims, and be there."""
        return open_place(self.watched, self.gateway, place, self.gateway.token(**claims))

    def button(self, key: str, within: Locator | None = None, **values: object) -> Locator:
        """By its message."""
        name = self.say(key, **values)
        return (within or self.page.locator("body")).get_by_role("button", name=name, exact=True)

    def link(self, key: str) -> Locator:
        """By its message."""
        return self.page.get_by_role("link", name=self.say(key), exact=True)

    def field(self, key: str) -> Locator:
        """An input, by its label."""
        return self.page.get_by_label(self.say(key), exact=True)

    def choice(self, key: str) -> Locator:
        """A select within its label, whose name begins with the message."""
        return self.page.get_by_role("combobox", name=self.say(key))

    def region(self, key: str) -> Locator:
        """A section, by its heading."""
        return self.page.get_by_role("region", name=self.say(key), exact=True)

    def heading(self, key: str, **values: object) -> Locator:
        """Of the page."""
        name = self.say(key, **values)
        return self.page.get_by_role("heading", name=name, level=1, exact=True)

    def row(self, name: str, within: Locator | None = None) -> Locator:
        """Of a table, by the text of its head."""
        head = self.page.get_by_role("rowheader", name=name, exact=True)
        return (within or self.page.locator("body")).get_by_role("row").filter(has=head)

    def alert(self) -> Locator:
        """What is refused or wrong."""
        return self.page.get_by_role("alert").first

    def text(self, key: str, **values: object) -> Locator:
        """Where the message stands."""
        return self.page.get_by_text(self.say(key, **values))

    def confirm(self, key: str, within: Locator | None = None) -> None:
        """Press a button that asks first: look at the question, go back, then confirm it."""
        dialog = self.page.get_by_role("dialog")
        self.button(key, within).click()
        self.button("confirm.no", dialog).click()
        expect(dialog).to_have_count(0)
        self.button(key, within).click()
        self.button(key, dialog).click()
