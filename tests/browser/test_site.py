"""The documentation as the gateway serves it, in a browser: it finds, and asks nobody else."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

import pytest
from modelmill_gateway.entrypoints.http.documentation import DocumentationRoutes
from starlette.applications import Starlette
from starlette.routing import Route

from tests.bench.asgi_serving import asgi_app
from tests.browser.watched_page import WatchedPage

SITE = Path(__file__).parents[2] / "build" / "site"
"""What `make docs` builds, which `make browser-test` asks for."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where the site is served, by the gateway's own handlers."""
    routes = DocumentationRoutes(SITE)
    app = Starlette(routes=[Route("/docs/{page:path}", routes.documentation_page)])
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        done = asyncio.Event()
        async with asgi_app(app) as port:
            started.set_result((port, asyncio.get_running_loop(), done))
            await done.wait()

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    port, loop, done = started.result(20)
    yield f"http://127.0.0.1:{port}/docs"
    loop.call_soon_threadsafe(done.set)
    thread.join()


@pytest.mark.parametrize(
    ("start", "words", "found"),
    [
        ("index.html", "checkpoint", "decisions/0061-checkpoints.html"),
        ("zh/index.html", "审核策略", "how-to/moderation-policy.html"),
    ],
)
def test_search_finds_in_both_languages_and_no_policy_is_broken(
    watched: WatchedPage, url: str, start: str, words: str, found: str
):
    watched.open_address(f"{url}/{start}")
    page = watched.page
    page.get_by_role("textbox", name="Search").click()
    page.keyboard.type(words)
    # The page looks when a key goes up, and no key has these letters.
    page.keyboard.press("End")
    page.wait_for_selector(".md-search-result__link")
    links = [it.get_attribute("href") or "" for it in page.locator(".md-search-result__link").all()]

    assert any(found in link for link in links), links
    assert watched.complaints == []
    assert [it for it in watched.requests if not it.startswith((url, "data:", "blob:"))] == []


def test_every_page_of_the_tree_loads_without_a_complaint(watched: WatchedPage, url: str):
    for page in ("tutorial.html", "reference/api.html", "decisions/index.html", "zh/index.html"):
        watched.open_address(f"{url}/{page}")
        assert watched.page.locator("h1").count() == 1, page
    assert watched.complaints == []
