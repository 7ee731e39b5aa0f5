"""Forms in the console: a Pareto chart of a search's candidates and of a model's forms."""

from collections.abc import Mapping, Sequence

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_forms import point, say_forms, search
from tests.browser.console_place import complaints, open_place
from tests.browser.live_gateway import TENANT, LiveGateway
from tests.browser.watched_page import WatchedPage

Box = Mapping[str, float]


@pytest.fixture(scope="module")
def searched(gateway: LiveGateway) -> str:
    return search(gateway)


def chart(page: Page, title: str) -> Locator:
    return page.get_by_role("group", name=f"{title} as a Pareto chart")


def row(page: Page, form: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=form, exact=True))


def test_candidates_are_drawn_with_frontier_bounds_choice_and_reasons(
    watched: WatchedPage, gateway: LiveGateway, searched: str
):
    page = open_place(watched, gateway, f"/jobs/{searched}", gateway.token())
    drawn = chart(page, "Candidates of the search")

    expect(drawn.locator(".mark")).to_have_count(4)
    expect(drawn.locator(".frontier")).to_have_count(1)
    frontier = drawn.locator(".frontier").get_attribute("points") or ""
    assert len(frontier.split()) == 3
    expect(drawn.locator(".dominated")).to_have_count(1)
    expect(drawn.locator(".chosen")).to_have_count(1)
    expect(drawn.locator(".refused path")).to_have_count(1)
    expect(drawn.locator(".objective")).to_have_text("at most 200 ms")
    expect(drawn.locator(".limit")).to_have_text("at most 2 %")
    expect(row(page, "openvino-int8")).to_contain_text("148 ms (143 to 153)")
    expect(row(page, "openvino-int8")).to_contain_text("chosen · on the frontier")
    expect(row(page, "onnx-int8")).to_contain_text("another one beats it")
    expect(row(page, "openvino-int4")).to_contain_text("refused: loses 20.0% of the answers")
    expect(row(page, "onnx-fp32")).to_contain_text(f"not measured: {HOSTILE[1]}")
    expect(page.get_by_text(HOSTILE[0])).to_be_visible()
    assert page.evaluate("window.ran") is None
    assert complaints(watched) == []


def test_another_axis_has_its_own_frontier_and_no_foreign_bound(
    watched: WatchedPage, gateway: LiveGateway, searched: str
):
    page = open_place(watched, gateway, f"/jobs/{searched}", gateway.token())
    page.get_by_label("Cost").select_option("size_mb")
    page.get_by_label("Quality lost").select_option("disagreement")
    drawn = chart(page, "Candidates of the search")

    # All differ from the source alike: the smallest beats all that are.
    expect(drawn.locator(".best")).to_have_count(1)
    expect(drawn.locator(".bound")).to_have_count(0)
    expect(row(page, "openvino-int8")).to_contain_text("74 MB")


def test_marks_are_read_aloud_and_lead_to_their_versions_by_keyboard(
    watched: WatchedPage, gateway: LiveGateway, searched: str
):
    page = open_place(watched, gateway, f"/jobs/{searched}", gateway.token())
    drawn = chart(page, "Candidates of the search")
    says = "3 onnx-int8, 160 ms (155 to 165), 1.5 % (0.75 % to 2.25 %), another one beats it"
    expect(drawn.get_by_role("img", name=says)).to_be_visible()

    drawn.get_by_role("link", name="openvino-int8").focus()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="mv-build")).to_be_visible()


def test_forms_of_a_model_are_on_its_page_in_both_languages(
    watched: WatchedPage, gateway: LiveGateway
):
    page = open_place(watched, gateway, f"/models/{say_forms(gateway)}", gateway.token())

    expect(chart(page, "Forms of this model").locator(".mark")).to_have_count(3)
    expect(row(page, "openvino-int4")).to_contain_text("loses more than its order allowed")
    expect(row(page, "safetensors")).to_contain_text("chosen · on the frontier")
    page.get_by_label("Cost").select_option("speedup")
    expect(row(page, "openvino-int8")).to_contain_text("1.6 x (1.4 to 1.8)")
    page.get_by_label("Language").select_option("zh")
    expect(page.get_by_role("heading", name="此模型的各种形式")).to_be_visible()


def test_names_of_near_points_cover_neither_each_other_nor_other_marks(
    watched: WatchedPage, gateway: LiveGateway
):
    near = [point("source", 200, 400, 0.0)]
    near += [point(f"openvino-int8-g{n}", 74 + n / 9, 148 + n / 3, 0.01) for n in range(8)]
    job_id = search(gateway, near)
    page = open_place(watched, gateway, f"/jobs/{job_id}", gateway.token())
    drawn = chart(page, "Candidates of the search")
    expect(drawn.locator(".mark")).to_have_count(9)
    for cost in ("p95_ms", "size_mb"):
        page.get_by_label("Cost").select_option(cost)
        names = [each.bounding_box() for each in drawn.locator(".mark text").all()]
        dots = [each.bounding_box() for each in drawn.locator(".dot").all()]
        boxes = [each for each in (*names, *dots) if each is not None]

        assert len(boxes) == 18
        met = [(one, two) for one, two in pairs(boxes[:9], boxes) if meet(one, two)]
        assert met == []
        frame = drawn.locator("svg").bounding_box()
        assert frame is not None
        assert all(each["x"] + each["width"] <= frame["x"] + frame["width"] for each in boxes)


def pairs(names: Sequence[Box], boxes: Sequence[Box]) -> list[tuple[Box, Box]]:
    """Each name beside what is no point of its own: the same place of the second half."""
    own = len(names)
    return [
        (name, other)
        for n, name in enumerate(names)
        for m, other in enumerate(boxes)
        if m > n and m != n + own
    ]


def meet(one: Box, other: Box) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "width"), ("y", "height"))
    )


def test_a_model_without_builds_has_no_chart(watched: WatchedPage, gateway: LiveGateway):
    alone = {"tenant": TENANT, "name": "alone", "form": "safetensors"}
    gateway.run(gateway.house.say_model("mv-alone", **alone))
    page = open_place(watched, gateway, "/models/mv-alone", gateway.token())

    expect(page.get_by_role("heading", name="Lineage")).to_be_visible()
    expect(page.locator(".pareto")).to_have_count(0)
