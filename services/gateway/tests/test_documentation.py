"""The gateway serves the documentation that was built, to all and without network."""

from pathlib import Path

import pytest
from gateway_support.house import House, run_house

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "<!doctype html><title>教程</title><script src=assets/x.js></script>"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site like that of `make docs`, and what lies beside it."""
    folder = tmp_path / "site"
    (folder / "zh").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "zh" / "tutorial.html").write_text(PAGE, "utf-8")
    (folder / "assets" / "x.js").write_text("1")
    (folder / "assets" / "x.css").write_text("a {}")
    (folder / "assets" / "x.py").write_text("secret")
    (tmp_path / "secret.html").write_text("secret")
    (folder / "linked.html").symlink_to(tmp_path / "secret.html")
    return folder


async def test_pages_and_what_they_load_are_served_by_kind_and_run_nothing_of_others(
    site: Path, tmp_path: Path
):
    async with run_house(tmp_path, docs_folder=site) as house, house.http() as client:
        client.headers.pop("authorization")
        first = await client.get("/docs", follow_redirects=True)
        page = await client.get("/docs/zh/tutorial.html")
        kinds = {
            name: (await client.get(f"/docs/assets/{name}")).headers["content-type"]
            for name in ("x.js", "x.css")
        }

    assert first.url.path == "/docs/index.html"
    assert page.text == PAGE
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert kinds == {"x.js": "text/javascript; charset=utf-8", "x.css": "text/css; charset=utf-8"}


@pytest.mark.parametrize(
    "path",
    [
        "/docs/../secret.html",
        "/docs/%2e%2e/secret.html",
        "/docs/..%2fsecret.html",
        "/docs//etc/passwd",
        "/docs/assets",
        "/docs/assets/",
        "/docs/assets/x.py",
        "/docs/linked.html",
        "/docs/missing.html",
        "/docs/index.html%00",
    ],
)
async def test_nothing_but_files_of_the_site_is_served(site: Path, tmp_path: Path, path: str):
    async with run_house(tmp_path, docs_folder=site) as house, house.http() as client:
        answer = await client.get(path)

    assert answer.status_code == 404
    assert "secret" not in answer.text.replace("secret.html", "")


async def test_where_no_site_was_built_docs_is_the_api_reference(house: House):
    async with house.http() as client:
        answer = await client.get("/docs", follow_redirects=True)
    assert answer.url.path == "/docs/api"
    assert answer.status_code == 200
