"""Requests in front of an engine, through the use cases, in virtual time."""

import asyncio
from dataclasses import replace

import pytest
from modelmill_inference import generate_text
from modelmill_inference.admit_requests import SEQUENCES_WITHOUT_BATCHES, AdmissionPlan
from modelmill_inference.domain.sampling import SamplingOptions
from modelmill_inference.embed_texts import EmbedCommand
from modelmill_inference.generate_text import GenerateCommand
from modelmill_inference.render_prompt import Prompt
from modelmill_inference.score_texts import ScoreCommand
from modelmill_service_kit.errors import DeadlineError, TooLargeError, UnavailableError
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .fakes import FakeEngine
from .queued_house import PLAN, TOKEN_SECONDS, VERSION, House, figure, refusal_of, run


def test_what_does_not_fit_waits_for_its_turn(tokenizer: ChatTokenizer) -> None:
    async def story(house: House) -> None:
        waits = figure("modelmill_admission_wait_seconds_count")
        answers = [house.begin() for _ in range(5)]
        await asyncio.sleep(0.05)
        assert house.engine.in_flight == 2
        assert figure("modelmill_requests_queued", version=VERSION) == 3 + 2

        assert await asyncio.gather(*answers) == pytest.approx([1, 1, 2, 2, 3])
        assert figure("modelmill_admission_wait_seconds_count") == waits + 5

    run(tokenizer, story)


def test_a_tenants_many_requests_do_not_delay_anothers_one(tokenizer: ChatTokenizer) -> None:
    async def story(house: House) -> None:
        many = [house.begin() for _ in range(6)]
        await asyncio.sleep(0.05)

        assert await house.answer(tenant="other") == pytest.approx(2)
        await asyncio.gather(*many)

    run(tokenizer, story)


def test_answers_side_by_side_take_a_place_each(tokenizer: ChatTokenizer) -> None:
    async def story(house: House) -> None:
        both = house.begin(answers=2)
        one = house.begin()
        await asyncio.sleep(0.05)
        assert house.engine.in_flight == 2

        assert await both == pytest.approx(1)
        assert await one == pytest.approx(2)
        assert isinstance(await refusal_of(house.answer(answers=3)), TooLargeError)

    run(tokenizer, story)


def test_sixteen_answers_run_together_where_there_is_room(tokenizer: ChatTokenizer) -> None:
    async def story(house: House) -> None:
        assert await house.answer(answers=16) == pytest.approx(1)

    plan = AdmissionPlan(sequences=16, waiting=8, tokens=0, cache_bytes=0, seconds=5.0)
    run(tokenizer, story, plan)


def test_an_engine_without_batches_runs_few_at_once_and_wide_requests_alone(
    tokenizer: ChatTokenizer,
) -> None:
    async def story(house: House) -> None:
        house.engine.abilities = replace(FakeEngine.abilities, batches=False)
        few = SEQUENCES_WITHOUT_BATCHES
        answers = [house.begin() for _ in range(few + 1)]
        await asyncio.sleep(0.05)
        assert house.engine.in_flight == few
        wide = house.begin(answers=16)

        assert await asyncio.gather(*answers) == pytest.approx([1] * few + [2])
        assert await wide == pytest.approx(3)

    plan = AdmissionPlan(sequences=16, waiting=8, tokens=0, cache_bytes=0, seconds=5.0)
    run(tokenizer, story, plan)


def test_a_request_larger_than_the_budget_is_refused_with_the_limit(
    tokenizer: ChatTokenizer,
) -> None:
    async def story(house: House) -> None:
        refusals = figure("modelmill_refusals_total", reason="too_large")
        refused = await refusal_of(house.answer(100))

        assert isinstance(refused, TooLargeError)
        assert "the limit is 50" in refused.message
        assert figure("modelmill_refusals_total", reason="too_large") == refusals + 1
        assert await house.answer(40) == pytest.approx(4)

    plan = AdmissionPlan(sequences=2, waiting=8, tokens=50, cache_bytes=0, seconds=5.0)
    run(tokenizer, story, plan)


def test_an_answer_without_a_limit_holds_a_part_of_the_context(
    tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate_text, "UNLIMITED_TOKENS", 40)

    async def story(house: House) -> None:
        assert await house.answer(0) > 50 * TOKEN_SECONDS

    plan = AdmissionPlan(sequences=2, waiting=8, tokens=50, cache_bytes=0, seconds=5.0)
    run(tokenizer, story, plan)


def test_who_waits_past_the_deadline_hears_it_in_that_moment(tokenizer: ChatTokenizer) -> None:
    async def story(house: House) -> None:
        running = [house.begin(50), house.begin(50)]
        await asyncio.sleep(0.05)
        loop = asyncio.get_running_loop()

        assert isinstance(await refusal_of(house.answer(seconds=1.5)), DeadlineError)
        assert loop.time() == pytest.approx(1.55)
        assert isinstance(await refusal_of(house.answer(seconds=0.0)), DeadlineError)
        assert loop.time() == pytest.approx(1.55)
        await asyncio.gather(*running)

    run(tokenizer, story)


def test_a_caller_without_a_deadline_has_the_default(tokenizer: ChatTokenizer) -> None:
    async def story(house: House) -> None:
        running = [house.begin(100), house.begin(100)]
        await asyncio.sleep(0)
        waiting = EmbedCommand(tenant="acme", version_id=VERSION, texts=("a",))

        assert isinstance(await refusal_of(house.embed(waiting)), DeadlineError)
        assert asyncio.get_running_loop().time() == pytest.approx(PLAN.seconds)
        await asyncio.gather(*running)

    run(tokenizer, story)


@pytest.mark.parametrize(("seconds", "has"), [(3.0, 3.0), (40.0, 40.0), (None, PLAN.seconds)])
def test_an_answer_without_a_limit_ends_for_its_length_before_its_deadline(
    tokenizer: ChatTokenizer, seconds: float | None, has: float
) -> None:
    async def story(house: House) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        command = GenerateCommand(
            tenant="acme",
            version_id=VERSION,
            prompt=Prompt(None, "a"),
            options=SamplingOptions(repetition_penalty=1.2),
            deadline=None if seconds is None else began + seconds,
        )
        ends = [part.end async for part in house.generate(command) if part.end is not None]

        assert [end.finish_reason for end in ends] == ["length"]
        assert 0.9 * has <= loop.time() - began < has

    run(tokenizer, story)


def test_scores_and_embeddings_wait_for_their_turn_too(tokenizer: ChatTokenizer) -> None:
    async def story(house: House) -> None:
        running = [house.begin(), house.begin()]
        await asyncio.sleep(0.05)
        prompt = Prompt(None, "a")
        scoring = house.score(ScoreCommand("acme", VERSION, prompt, ("b", "c")))
        embedding = house.embed(EmbedCommand("acme", VERSION, ("a", "b")))
        scores, vectors = await asyncio.gather(scoring, embedding)

        assert (len(scores.scores), len(vectors.vectors)) == (2, 2)
        assert asyncio.get_running_loop().time() == pytest.approx(1 + TOKEN_SECONDS)
        await asyncio.gather(*running)

    run(tokenizer, story)


def test_who_leaves_the_queue_or_the_engine_makes_room_at_once(tokenizer: ChatTokenizer) -> None:
    async def story(house: House) -> None:
        running, waiting = [house.begin(50) for _ in range(2)], [house.begin() for _ in range(3)]
        await asyncio.sleep(0.05)

        waiting[0].cancel()
        running[0].cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ended = await asyncio.gather(*waiting, return_exceptions=True)

        assert isinstance(ended[0], asyncio.CancelledError)
        assert ended[1:] == pytest.approx([1.05, 2.05], abs=0.11)
        assert await running[1] == pytest.approx(5)
        await asyncio.gather(*running, return_exceptions=True)

    run(tokenizer, story)


@pytest.mark.parametrize("steps", range(12))
def test_who_leaves_in_any_moment_of_being_let_in_leaks_nothing(
    tokenizer: ChatTokenizer, steps: int
) -> None:
    async def story(house: House) -> None:
        running, waiting = [house.begin(50) for _ in range(2)], [house.begin() for _ in range(2)]
        await asyncio.sleep(0.05)
        running[0].cancel()
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting[0].cancel()

        assert await waiting[1] == pytest.approx(1.05, abs=0.11)
        for left in (running[0], waiting[0]):
            with pytest.raises(asyncio.CancelledError):
                await left
        await running[1]

    run(tokenizer, story)


def test_an_engine_that_fails_a_request_makes_room_for_the_next(tokenizer: ChatTokenizer) -> None:
    async def story(house: House) -> None:
        answers = [house.begin() for _ in range(4)]
        await asyncio.sleep(0.05)
        house.engine.closed = True
        for answer in answers[:2]:
            assert isinstance(await refusal_of(answer), UnavailableError)
        house.engine.closed = False

        await asyncio.gather(*answers[2:])

    run(tokenizer, story)


def test_a_replica_that_stops_refuses_who_waits_and_finishes_what_runs(
    tokenizer: ChatTokenizer,
) -> None:
    async def story(house: House) -> None:
        answers = [house.begin() for _ in range(4)]
        await asyncio.sleep(0.05)

        house.admissions.close()

        for answer in answers[2:]:
            refused = await refusal_of(answer)
            assert isinstance(refused, UnavailableError)
            assert "stopping" in refused.message
        assert isinstance(await refusal_of(house.answer()), UnavailableError)
        assert await asyncio.gather(*answers[:2]) == pytest.approx([1, 1])

    run(tokenizer, story)


def test_a_full_queue_refuses_unread(tokenizer: ChatTokenizer) -> None:
    async def story(house: House) -> None:
        answers = [house.begin() for _ in range(2 + 4)]
        await asyncio.sleep(0.05)
        now = asyncio.get_running_loop().time()

        refused = await refusal_of(house.answer(text="longer than the context " * 1000))

        assert refused.reason == "QUEUE_FULL"
        assert asyncio.get_running_loop().time() == now
        await asyncio.gather(*answers)

    run(tokenizer, story)


def test_who_would_not_be_answered_in_time_hears_so_at_once(tokenizer: ChatTokenizer) -> None:
    async def story(house: House) -> None:
        answers = [house.begin(20) for _ in range(6)]
        await asyncio.sleep(2.5)
        now = asyncio.get_running_loop().time()

        refused = await refusal_of(house.answer(20, seconds=3))

        assert refused.reason == "NO_TIME"
        assert asyncio.get_running_loop().time() == now
        await asyncio.gather(*answers)

    run(tokenizer, story)
