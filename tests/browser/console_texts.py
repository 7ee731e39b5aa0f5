"""Messages of the console by key, as its own catalogues have them: no test copies their words."""

import json
import re
from collections.abc import Iterator

from playwright.sync_api import Page

from tests.browser.live_gateway import ROOT

LOCALES = ROOT / "services" / "gateway" / "console" / "src" / "locales"
LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}
"""Languages of the console, and what a browser of that language asks for."""
SENTENCE = re.compile(r"\w+ \w+")
"""Words alone are also values of the API, which has one language."""
TEXTS = """
    () => {
        const found = [];
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) found.push(walker.currentNode.data.trim());
        return found;
    }
"""


class ConsoleTexts:
    """The messages of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        text = (LOCALES / f"{language}.json").read_text("utf-8")
        self._texts: dict[str, str] = json.loads(text)

    def __call__(self, key: str, **values: object) -> str:
        """A message, with values in place of what stands in braces."""
        text = self._texts[key]
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    def sentences(self) -> Iterator[tuple[str, str]]:
        """Keys and messages of several words, without those that have values."""
        for key, text in self._texts.items():
            if "{" not in text and SENTENCE.search(text):
                yield key, text


def in_another_language(page: Page, texts: ConsoleTexts) -> list[str]:
    """Messages of other languages that a page shows."""
    shown = set(page.evaluate(TEXTS))
    return [
        text
        for language in LANGUAGES.keys() - {texts.language}
        for key, text in ConsoleTexts(language).sentences()
        if text in shown and text != texts(key)
    ]
