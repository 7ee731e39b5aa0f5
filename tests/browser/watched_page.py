"""A page in a real browser, and what it did there."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page, sync_playwright

Wait = Literal["load", "networkidle"]
CHROMIUM = Path("/usr/bin/chromium")
START_MS = 120_000
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
COLOURS = """
    async (source) => {
        const image = new Image();
        image.src = source;
        await image.decode();
        const canvas = new OffscreenCanvas(image.width, image.height);
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const pixels = new Uint32Array(
            context.getImageData(0, 0, image.width, image.height).data.buffer);
        const counts = new Map();
        for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) || 0) + 1);
        return {colours: counts.size, background: Math.max(...counts.values()) / pixels.length};
    }
"""


@dataclass
class WatchedPage:
    """A page, with the complaints and requests that it made since it was opened."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings of the console, and what scripts did not catch."""
    requests: list[str] = field(default_factory=list)
    """Addresses of everything that it wanted to load."""

    def open(self, file: Path) -> None:
        """From disk, until it is quiet."""
        self.open_address(file.as_uri())

    def open_address(self, address: str, wait_until: Wait = "networkidle") -> None:
        """The same from a server; a page that goes on asking is never quiet."""
        page = self.page
        page.on("console", lambda said: self._complain(said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self._complain("error", f"dialog {dialog.message}"))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(address, wait_until=wait_until)

    def texts(self, selector: str) -> list[str]:
        """Of all elements, in order."""
        return self.page.locator(selector).all_inner_texts()

    def cells(self, table: str) -> list[list[str]]:
        """A table's rows below its head."""
        rows = self.page.locator(table).locator("tr").all()
        return [row.locator("td").all_inner_texts() for row in rows[1:]]

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Debian's, until the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, timeout=START_MS
        )
        try:
            yield browser
        finally:
            browser.close()


def looks(browser: Browser, png: bytes) -> dict[str, Any]:
    """How many colours an image has, and which share of it the commonest one takes."""
    page = browser.new_page()
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    found: dict[str, Any] = page.evaluate(COLOURS, source)
    page.close()
    return found
