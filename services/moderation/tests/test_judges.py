"""Judges of a policy in each method of the service: what they block and mask."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1.moderation_events_pb2 import ModerationRecorded
from modelmill_guard.judge import Window
from modelmill_guard.verdict import Direction
from modelmill_moderation.entrypoints.grpc import verdict_message
from modelmill_service_kit.errors import InvalidInputError, PreconditionError, UnavailableError
from modelmill_testkit.service_process import refused_start, service_settings
from modelmill_testkit.waiting import eventually
from moderation_support.classifier import ALIAS, SURE
from moderation_support.judged import NUMBERS, Judged, compiled, judged_moderation, judges
from moderation_support.safety_server import HIGH, hang, status
from prometheus_client import REGISTRY

WORDS = ("a bomb", "of hate", "violence", "bob", "zap", *("grass", "river", "stone") * 12)


@pytest.fixture
async def judged(start_moderation: Any) -> AsyncIterator[Judged]:
    async with judged_moderation(start_moderation) as running:
        yield running


def cut(text: str, random: Random) -> list[str]:
    """At up to nine places, wherever they are."""
    places = sorted(random.randint(0, len(text)) for _ in range(random.randint(0, 9)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@pytest.mark.parametrize("direction", list(Direction))
async def test_every_method_gives_the_same_verdict_and_text_however_a_text_is_split(
    judged: Judged, direction: Direction
) -> None:
    policy, random = await judged.put(judges()), Random(7)
    number = NUMBERS[direction]
    seen = set()
    for _ in range(25):
        text = " ".join(random.choices(WORDS, k=random.randint(0, 30)))
        expected = await judged.moderation.check(text, direction=number)
        seen.add(expected.action)
        for pieces in ([text], cut(text, random), cut(text, random)):
            responses = await judged.moderation.guard(pieces, direction=number)
            shown, verdict = await judged.by_hand(policy, pieces, direction)

            assert responses[-1].verdict == expected, (text, pieces)
            assert verdict_message(verdict) == expected, (text, pieces)
            assert "".join(response.released for response in responses) == shown
            if expected.action != pb.ACTION_BLOCK:
                assert shown == expected.text
    assert seen == {pb.ACTION_ALLOW, pb.ACTION_MASK, pb.ACTION_BLOCK}


async def test_a_match_of_a_judge_is_its_window_with_its_score(judged: Judged) -> None:
    await judged.put(judges())
    verdict = await judged.moderation.check("so much hate for bob")
    assert verdict.action == pb.ACTION_MASK
    assert verdict.text == "*" * 20
    assert {(m.rule_id, m.category, m.start, m.end) for m in verdict.matches} == {
        ("service", "hate", 0, 20),
        ("bob", "pii", 17, 20),
    }
    assert {m.score for m in verdict.matches if m.HasField("score")} == {HIGH}
    verdict = await judged.moderation.check("." * 120 + "a bomb")
    (match,) = verdict.matches
    assert (match.rule_id, match.start, match.end) == ("model", 100, 126)
    assert match.score == pytest.approx(SURE)


async def test_judges_read_what_the_rules_let_pass(judged: Judged) -> None:
    await judged.put(judges())
    await judged.moderation.check("my name is bob")
    assert set(judged.classifier.texts) == {"my name is ***"}
    assert set(judged.safety.texts) == {"my name is ***"}


async def test_a_threshold_is_the_judges_own(judged: Judged) -> None:
    await judged.put(judges(threshold=0.95))
    verdict = await judged.moderation.check("a bomb of hate")
    assert (verdict.action, list(verdict.matches)) == (pb.ACTION_ALLOW, [])


async def test_a_category_that_the_service_does_not_know_is_no_opinion(judged: Judged) -> None:
    await judged.put(judges().replace("violence: violence", "cruelty: violence"))
    with pytest.raises(UnavailableError, match="the judge service gives no opinion"):
        await judged.moderation.check("a fine day")


ILLNESSES = {
    "model hangs": {"classifier_seconds": 0.3},
    "model is gone": {},
    "service fails": {},
    "service hangs": {"service_seconds": 0.3},
}
"""And how long is waited for whom."""


def fall_ill(judged: Judged, illness: str) -> str:
    """The judge that gives no opinion from now on."""
    if illness == "model hangs":
        judged.classifier.hangs = True
    elif illness == "model is gone":
        judged.classifier.aliases.clear()
    else:
        judged.safety.always = status(503) if illness == "service fails" else hang
    return illness.split()[0]


@pytest.mark.parametrize("illness", ILLNESSES)
async def test_without_an_opinion_nothing_passes_where_the_judge_is_closed(
    start_moderation: Any, illness: str
) -> None:
    async with judged_moderation(start_moderation, **ILLNESSES[illness]) as judged:
        policy = await judged.put(judges())
        ill = fall_ill(judged, illness)
        text = "a fine day " * 10
        with pytest.raises(UnavailableError, match=f"{ill} gives no opinion, so nothing passes"):
            await judged.moderation.check(text)
        with pytest.raises(UnavailableError, match=f"the judge {ill} gives no opinion"):
            await judged.moderation.guard([text, text])
        with pytest.raises(UnavailableError, match=f"the judge {ill} gives no opinion"):
            await judged.by_hand(policy, [text], Direction.OUTPUT)


@pytest.mark.parametrize("illness", ILLNESSES)
async def test_without_an_opinion_a_text_passes_where_the_judge_is_open_and_the_verdict_says_so(
    start_moderation: Any, illness: str
) -> None:
    async with judged_moderation(start_moderation, **ILLNESSES[illness]) as judged:
        policy = await judged.put(judges(on_failure="open"))
        ill = fall_ill(judged, illness)
        text = "a fine day for bob " * 8
        verdict = await judged.moderation.check(text)
        assert list(verdict.unanswered_judges) == [ill]
        assert verdict.text == text.replace("bob", "***")
        responses = await judged.moderation.guard([text])
        assert responses[-1].verdict == verdict
        shown, by_hand = await judged.by_hand(policy, [text], Direction.INPUT)
        assert (shown, verdict_message(by_hand)) == (verdict.text, verdict)


async def test_what_went_unanswered_is_recorded_and_counted(judged: Judged) -> None:
    await judged.put(judges(on_failure="open"))
    judged.safety.always = status(503)

    def failures() -> float:
        labels = {"kind": "service", "reason": "broken"}
        return REGISTRY.get_sample_value("modelmill_judge_failures_total", labels) or 0

    def asked(kind: str) -> float:
        return REGISTRY.get_sample_value("modelmill_judge_seconds_count", {"kind": kind}) or 0

    before = failures(), asked("service"), asked("classifier")
    await judged.moderation.check("a fine day")
    assert (failures(), asked("service"), asked("classifier")) == tuple(n + 1 for n in before)

    async def recorded() -> ModerationRecorded | None:
        stored = await judged.moderation.bus.last("audit.moderation", ModerationRecorded)
        return stored.body if stored else None

    record = await eventually(recorded)
    assert record is not None
    assert (list(record.rule_ids), list(record.unanswered_judges)) == ([], ["service"])
    assert record.action == pb.ACTION_ALLOW


async def test_the_model_of_a_shared_policy_is_the_operators_and_not_a_namesake_of_the_tenant(
    judged: Judged,
) -> None:
    await judged.put(judges(), tenant="shared")
    with pytest.raises(UnavailableError):
        await judged.moderation.check("a fine day", tenant="acme")
    judged.classifier.aliases.add(("shared", ALIAS))
    await judged.moderation.check("a fine day", tenant="acme")
    assert {request.tenant for request in judged.classifier.requests} == {"shared"}


async def test_a_text_keeps_the_judges_of_the_policy_that_it_began_with(judged: Judged) -> None:
    policy = await judged.put(judges())
    window = Window(0, "", "a bomb")
    for number in range(7):
        await judged.put(judges(threshold=0.5 + number / 100))
    assert len((await judged.judge_window(policy, "model", window)).matches) == 1
    await judged.put(judges(threshold=0.6))
    with pytest.raises(PreconditionError, match="is not known here, so nothing passes"):
        await judged.judge_window(policy, "model", window)


async def test_a_window_that_comes_before_its_policy_waits_for_it(judged: Judged) -> None:
    policy = compiled(judges())
    asked = asyncio.create_task(judged.judge_window(policy, "model", Window(0, "", "a bomb")))
    await judged.put(judges())
    assert [match.rule_id for match in (await asked).matches] == ["model"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"judge_id": "nobody"}, "no judge 'nobody' for output"),
        ({"text": ""}, "windows of 1 to 50 characters"),
        ({"text": "x" * 51}, "windows of 1 to 50 characters"),
        ({"context": "x"}, "the context is longer"),
        ({"start": 500, "context": "x" * 101}, "the context is longer"),
        ({"tenant": "A b"}, "tenant"),
        ({"direction": 9}, "direction"),
    ],
)
async def test_a_window_that_no_judge_reads_is_refused(
    judged: Judged, changes: dict[str, Any], why: str
) -> None:
    policy = await judged.put(judges())
    with pytest.raises(InvalidInputError, match=why):
        await judged.judge_window(policy, "model", Window(0, "", "text"), **changes)


async def test_a_text_over_the_limit_is_refused_before_anybody_is_asked(judged: Judged) -> None:
    await judged.put(judges())
    asked = len(judged.classifier.requests)
    with pytest.raises(InvalidInputError, match="5001 characters; the limit is 5000"):
        await judged.moderation.check("x" * 5001)
    assert len(judged.classifier.requests) == asked


async def test_a_policy_whose_judges_nobody_set_up_is_refused(moderation: Any) -> None:
    documents = [pb.PolicyDocument(name="p", text=judges())]
    request = pb.PutPolicyRequest(tenant="acme", documents=documents, changed_by="ann")
    with pytest.raises(Exception, match="no service 'outside' is set up") as refusal:
        await moderation.stub.PutPolicy(request, timeout=60)
    assert "judge model: no inference service is set up" in str(refusal.value)


async def test_a_start_with_judges_that_nobody_set_up_ends_with_one_line(
    nats: Any, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(judges())
    own = {"policy_path": str(tmp_path / "policy.yaml")}
    status, (line,) = await refused_start("moderation", service_settings(nats, tmp_path) | own)
    assert status == 2
    assert "judge service: no service 'outside' is set up" in line


async def test_changes_of_judges_are_told_as_those_of_rules(judged: Judged) -> None:
    await judged.put(judges())
    changed = judges(threshold=0.9).replace("id: service", "id: other")
    documents = [pb.PolicyDocument(name="p", text=changed)]
    request = pb.PutPolicyRequest(
        tenant="acme", documents=documents, changed_by="ann", dry_run=True
    )
    changes = (await judged.moderation.stub.PutPolicy(request, timeout=60)).changes
    # A policy that was written to the bus directly has no base: the default rules come, too.
    assert {"other", "forbidden"} <= {*changes.added_rules}
    assert list(changes.removed_rules) == ["service"]
    assert list(changes.changed_rules) == ["model"]
    assert list(changes.changed_settings) == []
