"""Pictures of every page of the console, in both languages and themes.

    python -m tests.browser.screenshots [--keep] [--only NAME ...]

Chromium looks at the built console (`make console`) beside a live gateway with faked peers, whose
tenant has some of everything. Chinese needs a font (Debian's fonts-wqy-microhei). Pictures go to
build/console-pictures; with `--keep` into the documentation, whose guides show them.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.browser.console_place import open_place, settled
from tests.browser.console_router import SIGN_IN, page_names
from tests.browser.console_scene import ConsoleLook, looks_of
from tests.browser.console_texts import LANGUAGES, ConsoleTexts
from tests.browser.console_visitor import ConsoleVisitor
from tests.browser.live_gateway import ROOT, LiveGateway, built_console, live_gateway
from tests.browser.watched_page import WatchedPage, running_chromium

KEPT = {"en": ROOT / "docs/how-to/console", "zh": ROOT / "docs/zh/how-to/console"}
BUILT = ROOT / "build" / "console-pictures"
THEMES = ("light", "dark")
WIDTH, HEIGHT, MOST_HEIGHT = 1200, 700, 1100
COLOURS = 128
"""Text on few backgrounds needs no more, and takes half as much."""


class Neighbours(BaseHTTPRequestHandler):
    """A Prometheus with one alert, and somebody who takes webhooks."""

    def do_GET(self) -> None:
        """The alerts."""
        notes = {
            "summary": "tiny: one caller in twenty waits over 5 s for the first text.",
            "action": "Queued requests on the inference dashboard say whether it is load.",
            "runbook_url": "https://docs.example.com/runbooks/first-text-slow/",
        }
        labels = {"alertname": "FirstTextSlow", "severity": "page", "model": "tiny"}
        alert = {"labels": labels, "annotations": notes, "state": "firing"}
        alert["activeAt"] = "2026-11-30T22:00:00Z"
        self._answer(200, json.dumps({"data": {"alerts": [alert]}}).encode())

    def do_POST(self) -> None:
        """An event."""
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(204)

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def furnished(folder: Path) -> Iterator[tuple[LiveGateway, dict[str, ConsoleLook]]]:
    """A gateway beside these neighbours, and a look at each page, until the block ends."""
    with HTTPServer(("127.0.0.1", 0), Neighbours) as server:
        serving = Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}"
        place = {"prometheus_url": url, "webhook_allow_private": True, "log_seconds": 0.05}
        try:
            with live_gateway(folder, console_folder=built_console(), **place) as gateway:
                yield gateway, looks_of(gateway, f"{url}/hooks/modelmill")
        finally:
            server.shutdown()
            serving.join()


def take(page: Page) -> bytes:
    """A picture of the page from its top, as WebP."""
    tall = page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": min(tall, MOST_HEIGHT)}
    png = page.screenshot(full_page=True, clip=clip, animations="disabled", caret="hide")  # type: ignore[arg-type]
    whole = Image.open(BytesIO(png)).convert("RGB")
    picture = whole.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    made = BytesIO()
    picture.convert("RGB").save(made, "WEBP", lossless=True, method=6)
    return made.getvalue()


def _picture(
    browser: Browser, gateway: LiveGateway, look: ConsoleLook, name: str, language: str, theme: str
) -> bytes:
    page = browser.new_page(
        locale=LANGUAGES[language],
        color_scheme=theme,  # type: ignore[arg-type]
        viewport={"width": WIDTH, "height": HEIGHT},
    )
    try:
        if name == SIGN_IN:
            page.goto(f"{gateway.url}/console/index.html")
            settled(page)
            return take(page)
        watched = WatchedPage(page)
        open_place(watched, gateway, look.place, gateway.token(**look.claims))
        with TemporaryDirectory(prefix="console-") as scratch:
            look.act(ConsoleVisitor(watched, gateway, ConsoleTexts(language), Path(scratch)))
        settled(page)
        return take(page)
    finally:
        page.close()


def take_all(browser: Browser, folders: Mapping[str, Path], only: Sequence[str]) -> None:
    """Every page in each language and theme, into the folder of the language."""
    with TemporaryDirectory(prefix="console-") as scratch, furnished(Path(scratch)) as found:
        gateway, looks = found
        if missing := [name for name in page_names() if name not in looks]:
            pages = ", ".join(missing)
            raise SystemExit(f"{pages}: no look at it. Add one in tests/browser/console_scene.py.")
        for language in LANGUAGES:
            for theme in THEMES:
                for name in only or looks:
                    picture = _picture(browser, gateway, looks[name], name, language, theme)
                    (folders[language] / f"{name}.{theme}.webp").write_bytes(picture)


def main() -> None:
    """What the command does."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", action="store_true", help="write into the documentation")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="some pages alone")
    asked = parser.parse_args()
    folders = KEPT if asked.keep else {language: BUILT / language for language in LANGUAGES}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
        for old in () if asked.only else folder.iterdir():
            old.unlink()
    with running_chromium() as browser:
        take_all(browser, folders, asked.only)
    files = [file for folder in folders.values() for file in folder.iterdir()]
    size = sum(file.stat().st_size for file in files)
    print(f"{len(files)} pictures, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
