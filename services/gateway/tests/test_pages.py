"""What a browser is shown: pages that need no token, no script and nothing from elsewhere."""

import re
from html.parser import HTMLParser

import httpx
import pytest
from gateway_support.document import document
from gateway_support.house import House
from modelmill_gateway.domain.routes import ROUTES

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Page(HTMLParser):
    """Links, anchors and tags of a page, and its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            if name == "href" and tag == "a":
                self.links.add(value or "")
            elif name == "id":
                self.anchors.append(value or "")
            elif name in ("src", "href", "action", "data"):
                self.fetched.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


async def opened(house: House, path: str) -> tuple[httpx.Response, Page]:
    client = house.http()
    client.headers.pop("authorization")
    answer = await client.get(path, follow_redirects=True)
    return answer, Page(answer.text)


@pytest.mark.parametrize("path", ["/", "/docs/api"])
async def test_a_page_is_open_to_all_and_brings_all_that_it_needs(house: House, path: str):
    answer, page = await opened(house, path)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.fetched == []
    assert not page.tags & {"script", "link", "img", "iframe", "form"}
    assert not re.search(r"url\(|@import", answer.text)


@pytest.mark.parametrize("path", ["/", "/docs/api", "/openapi.json", "/asyncapi.json"])
async def test_a_document_is_compressed_for_who_takes_that(house: House, path: str):
    async with house.http() as client:
        plain = await client.get(path, headers={"accept-encoding": "identity"})
        small = await client.get(path, headers={"accept-encoding": "gzip"})

    assert small.content == plain.content
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == small.headers["vary"] == "accept-encoding"
    assert int(small.headers["content-length"]) < len(plain.content)


async def test_the_index_leads_to_documents_and_health(house: House):
    _, index = await opened(house, "/")

    documents = {"/docs", "/docs/api", "/openapi.json", "/asyncapi.json"}
    assert index.links == documents | {"/console", "/healthz", "/readyz"}
    for link in index.links - {"/console"}:  # which was not built here
        answer, _ = await opened(house, link)
        assert answer.status_code == 200, link


async def test_the_reference_has_every_route_shape_and_example_and_no_dead_link(house: House):
    _, page = await opened(house, "/docs/api")

    assert {route.name for route in ROUTES} <= {*page.anchors}
    assert {f"shape-{name}" for name in document()["components"]["schemas"]} <= {*page.anchors}
    for route in ROUTES:
        assert f"{route.method} {route.template}" in page.text, route.name
    inside = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert inside <= {*page.anchors}
    assert len(page.anchors) == len({*page.anchors})
    assert '"espresso: strong black coffee"' in page.text
    assert "a limit of the key" in page.text.lower()


async def test_who_asks_for_a_path_that_is_not_there_is_told_where_all_are(house: House):
    async with house.http() as client:
        answer = await client.get("/v1/model")

    assert answer.status_code == 404
    assert "/docs" in answer.json()["error"]["message"]
