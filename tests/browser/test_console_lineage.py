"""A version's lineage in the console: a graph from datasets over versions to aliases."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import complaints, open_place
from tests.browser.live_gateway import TENANT, LiveGateway
from tests.browser.watched_page import WatchedPage

MANY, MOST = 60, 40


@pytest.fixture(scope="module")
def family(gateway: LiveGateway) -> None:
    """A base, what was tuned from it, a build of that, and an alias that asks the build."""
    say_model(gateway, "mv-root", name="root", form="safetensors")
    made = {"parent_version_id": "mv-root", "base_version_id": "mv-root", "dataset_id": "ds-words"}
    say_model(gateway, "mv-words", name=HOSTILE[0], form="adapter", **made)
    say_model(gateway, "mv-int8", name="int8", form="openvino-int8", parent_version_id="mv-words")
    gateway.run(gateway.house.say_alias(TENANT, "served", "mv-int8"))


def say_model(gateway: LiveGateway, version_id: str, **fields: str) -> None:
    gateway.run(gateway.house.say_model(version_id, tenant=TENANT, **fields))


def nodes(page: Page) -> Locator:
    """Of the graph."""
    return page.get_by_role("group", name="Lineage as a graph").get_by_role("link")


def left_of(page: Page, name: str) -> float:
    """Where a node begins."""
    box = nodes(page).and_(page.get_by_role("link", name=name)).bounding_box()
    assert box is not None
    return box["x"]


@pytest.mark.usefixtures("family")
def test_a_graph_leads_from_the_dataset_to_the_alias(watched: WatchedPage, gateway: LiveGateway):
    page = open_place(watched, gateway, "/models/mv-words", gateway.token())
    expect(nodes(page)).to_have_count(5)
    way = (
        "Dataset ds-words",
        "Version adapter <script>",
        "Version openvino-int8 int8",
        "Alias served",
    )
    assert [left_of(page, name) for name in way] == sorted(left_of(page, name) for name in way)
    assert left_of(page, "Version safetensors root") < left_of(page, "Version adapter <script>")
    assert complaints(watched) == []

    page.get_by_role("link", name="Version openvino-int8 int8").click()

    expect(page.get_by_role("heading", name="mv-int8")).to_be_visible()
    expect(nodes(page)).to_have_count(5)
    assert page.evaluate("window.ran") is None


def test_of_much_that_was_made_some_is_shown_and_the_rest_counted(
    watched: WatchedPage, gateway: LiveGateway
):
    say_model(gateway, "mv-wide", name="wide", form="safetensors")
    for number in range(MANY):
        say_model(gateway, f"mv-w{number}", name=f"w{number}", parent_version_id="mv-wide")
    page = open_place(watched, gateway, "/models/mv-wide", gateway.token())

    expect(nodes(page)).to_have_count(MOST + 1)
    expect(page.get_by_text(f"{MANY - MOST} more versions")).to_be_visible()
