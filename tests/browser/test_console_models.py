"""A version in the console: its card as text, the way to other programs, and its end."""

from pathlib import Path

import pytest
from modelmill_registry.store import FolderStore
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_checks import PHONE_WIDTH, serious_findings
from tests.browser.console_place import complaints, open_place
from tests.browser.live_gateway import TENANT, LiveGateway
from tests.browser.watched_page import WatchedPage

CARD = f"""---
license: mit
---

# kinds \\*1

An adapter for `tiny`, **trained**.
{HOSTILE[1]}

## Lineage

| made from | artifact |
| --- | --- |
| base | `sha256:aa` |
| {HOSTILE[0]} | a \\| b |

![curves.svg](curves.svg)

- first
- second {HOSTILE[4]}

```
$ run | it
```
"""


def say_version(gateway: LiveGateway, version_id: str, folder: Path, card: str = "") -> None:
    """A version of the tenant, whose artifact has this card."""
    (folder / "config.json").write_text("{}")
    if card:
        (folder / "README.md").write_text(card, encoding="utf-8")
    store = FolderStore(Path(gateway.house.settings.artifact_root))
    digest = store.commit(folder, kind="model", form="adapter").digest
    said = {"tenant": TENANT, "name": version_id, "form": "adapter", "digest": digest}
    gateway.run(gateway.house.say_model(version_id, **said))


def open_version(
    watched: WatchedPage, gateway: LiveGateway, version_id: str, **claims: str
) -> Page:
    return open_place(watched, gateway, f"/models/{version_id}", gateway.token(**claims))


def test_a_card_is_read_when_somebody_opens_it_and_stays_text(
    watched: WatchedPage, gateway: LiveGateway, tmp_path: Path
):
    say_version(gateway, "mv-carded", tmp_path, CARD)
    page = open_version(watched, gateway, "mv-carded")
    assert not [each for each in watched.requests if each.endswith("/card")]
    page.get_by_text("Model card", exact=True).click()

    card = page.locator(".markdown")
    expect(card.get_by_role("heading", name="kinds *1", exact=True)).to_be_visible()
    expect(card.locator("td")).to_have_text(["base", "sha256:aa", HOSTILE[0], "a | b"])
    expect(card.locator("th")).to_have_text(["made from", "artifact"])
    expect(card.locator("li")).to_have_text(["first", f"second {HOSTILE[4]}"])
    expect(card.locator("p")).to_contain_text(HOSTILE[1])
    expect(card.locator("strong")).to_have_text("trained")
    expect(card.locator("pre")).to_have_text("$ run | it")
    expect(card).not_to_contain_text("license: mit")
    assert page.evaluate("window.ran") is None
    assert complaints(watched) == []


def test_the_file_of_a_card_has_all_of_it(
    watched: WatchedPage, gateway: LiveGateway, tmp_path: Path
):
    say_version(gateway, "mv-filed", tmp_path, CARD)
    page = open_version(watched, gateway, "mv-filed")
    page.get_by_text("Model card", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download card").click()

    assert Path(download.value.path()).read_text("utf-8") == CARD


def test_without_a_card_the_page_says_so_and_tells_how_to_export(
    watched: WatchedPage, gateway: LiveGateway, tmp_path: Path
):
    say_version(gateway, "mv-bare", tmp_path)
    page = open_version(watched, gateway, "mv-bare")
    page.get_by_text("Model card", exact=True).click()
    expect(page.get_by_text("This version has no card")).to_be_visible()

    page.get_by_text("Export for other programs").click()

    expect(page.get_by_label("mill", exact=True)).to_have_text("mill models export mv-bare FOLDER")


def delete(page: Page) -> None:
    page.get_by_role("button", name="Delete this version").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("with its builds")
    dialog.get_by_role("button", name="Delete this version").click()


def test_a_version_is_deleted_after_a_question_unless_it_is_in_use(
    watched: WatchedPage, gateway: LiveGateway, tmp_path: Path
):
    say_version(gateway, "mv-mine-old", tmp_path)
    gateway.house.trainer.in_use = "mv-mine-old"
    page = open_version(watched, gateway, "mv-mine-old")
    delete(page)
    expect(page.get_by_role("alert")).to_contain_text("Move the alias first")

    gateway.house.trainer.in_use = ""
    delete(page)

    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="mv-base").first).to_be_visible()
    expect(page.get_by_role("link", name="mv-mine-old")).to_have_count(0)


@pytest.mark.parametrize(
    ("version_id", "claims"),
    [("mv-base", {}), ("mv-mine-kept", {"scope": "models:read"})],
    ids=["of all tenants", "without the scope"],
)
def test_who_may_not_delete_is_not_offered_it(
    watched: WatchedPage,
    gateway: LiveGateway,
    tmp_path: Path,
    version_id: str,
    claims: dict[str, str],
):
    say_version(gateway, "mv-mine-kept", tmp_path)
    page = open_version(watched, gateway, version_id, **claims)

    expect(page.get_by_text("Model card", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Delete this version")).to_have_count(0)


def test_a_card_has_no_serious_finding_on_a_phone(
    browser: Browser, gateway: LiveGateway, tmp_path: Path
):
    say_version(gateway, "mv-phone", tmp_path, CARD)
    page = browser.new_page(viewport={"width": PHONE_WIDTH, "height": 800}, bypass_csp=True)
    try:
        open_version(WatchedPage(page), gateway, "mv-phone")
        for summary in page.locator("details > summary").all():
            summary.click()
        expect(page.locator(".markdown table")).to_be_visible()

        assert serious_findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH
    finally:
        page.close()
