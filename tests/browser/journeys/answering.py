"""Journeys of who judges answers: models side by side, and feedback on what they say."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import ask, settled
from tests.browser.console_visitor import ConsoleVisitor


def ask_two_models(visitor: ConsoleVisitor) -> None:
    """Two models answer at once, each with its speed; one is stopped; a third comes and goes."""
    inference, say = visitor.gateway.house.inference, visitor.say
    inference.reset()
    inference.lasts, inference.endless_versions = 0.2, {"mv-tuned"}
    page = visitor.open("/playground")
    visitor.button("play.compare").click()
    expect(visitor.heading("play.compare_title")).to_be_visible()
    columns = page.locator("section.column")
    for place, model in enumerate(("mv-build", "mv-tuned")):
        columns.nth(place).get_by_role("combobox").select_option(model)
    visitor.field("play.system").fill(HOSTILE[1])
    visitor.field("play.message").fill("count")
    visitor.button("play.send").click()
    first, second = columns.nth(0), columns.nth(1)
    speed = first.locator(".speed")
    expect(speed).to_contain_text(say("play.first_token", time="").strip())
    expect(speed).to_contain_text(say("play.tokens", n=3))
    expect(speed).to_contain_text(_with_a_number(say("play.speed", n="N")))
    expect(first.locator("article.assistant .text")).to_have_text("Hello, world")
    expect(second.locator("article.assistant .text")).to_contain_text("on on on")

    visitor.button("play.stop_n", n=2).click()
    expect(visitor.button("play.send")).to_be_visible()
    visitor.gateway.wait_until(lambda: inference.in_flight == 0)
    expect(second.locator("article.assistant code")).to_have_text("mv-tuned")
    said = [[turn.content for turn in each.conversation.messages] for each in inference.requests]
    assert said == [[HOSTILE[1], "count"]] * 2
    inference.reset()
    visitor.button("play.add_model").click()
    expect(columns).to_have_count(3)
    visitor.button("play.drop_n", n=3).click()
    expect(columns).to_have_count(2)
    page.reload()
    settled(page)
    for place, model in enumerate(("mv-build", "mv-tuned")):
        expect(columns.nth(place).get_by_role("combobox")).to_have_value(model)


def _with_a_number(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace("N", r"[\d.,]+"))


def correct_an_answer(visitor: ConsoleVisitor) -> None:
    """An answer is called bad and corrected; what was sent is shown, and is what the API keeps."""
    inference, tenant = visitor.gateway.house.inference, visitor.own("critics")
    inference.reset()
    inference.pieces = ["It is ", HOSTILE[0]]
    page = visitor.open("/playground", tenant=tenant)
    visitor.field("play.message").fill("what is it")
    visitor.button("play.send").click()
    group = page.get_by_role("group", name=visitor.say("feedback.title"), exact=True)
    visitor.button("feedback.bad", group).click()
    sent = group.get_by_role("status")
    expect(sent).to_contain_text(visitor.say("feedback.bad"))
    for each, pressed in (("good", "false"), ("bad", "true")):
        button = visitor.button(f"feedback.{each}", group)
        expect(button).to_have_attribute("aria-pressed", pressed)

    visitor.button("feedback.correct", group).click()
    correction = visitor.field("feedback.correction")
    expect(correction).to_have_value("".join(inference.pieces))
    correction.fill(HOSTILE[1])
    visitor.button("feedback.send").click()
    expect(sent.locator(".corrected")).to_have_text(HOSTILE[1])
    expect(correction).to_have_count(0)
    token = visitor.gateway.token(tenant=tenant)
    kept = ask(visitor.gateway, token, "GET", "/v1/feedback")["data"]
    assert [(each["score"], each["correction"]) for each in kept] == [
        (None, HOSTILE[1]),
        (-1, None),
    ]
    assert len({each["request_id"] for each in kept}) == 1
    for each in kept:
        expect(sent).to_contain_text(each["id"])
