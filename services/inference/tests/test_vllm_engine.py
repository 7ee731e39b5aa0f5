"""The adapter of vLLM against a server with its API and no model; real sockets and processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from modelmill_inference.adapters.vllm import VllmEngine, VllmKind
from modelmill_inference.adapters.vllm_server import VllmOptions
from modelmill_inference.domain.generation import EngineCannotError, ScoreRequest
from modelmill_service_kit.errors import (
    DomainError,
    InvalidInputError,
    PreconditionError,
    UnavailableError,
)
from modelmill_testkit.waiting import eventually

from . import fake_vllm
from .fake_vllm import FakeVllm, logprob_of, running_fake
from .vllm_cases import END, PLAIN, expected, loaded, starting_with, tokens_of


@pytest_asyncio.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeVllm]:
    yield FakeVllm(tmp_path.name, key="sesame")


@pytest_asyncio.fixture
async def kind(fake: FakeVllm) -> AsyncIterator[VllmKind]:
    async with running_fake(fake) as url:
        yield VllmKind(VllmOptions(url=url, key="sesame"))


@pytest_asyncio.fixture
async def engine(kind: VllmKind, tmp_path: Path) -> AsyncIterator[VllmEngine]:
    async with loaded(kind.engine_for(tmp_path, END)) as engine:
        yield engine


async def test_all_that_a_request_says_is_told_to_the_server(
    engine: VllmEngine, fake: FakeVllm
) -> None:
    asked = replace(
        PLAIN, temperature=0.7, top_p=0.9, top_k=5, presence_penalty=0.5, frequency_penalty=-0.5,
        repetition_penalty=1.1, seed=2**64 - 1, grammar='root ::= "a"',
    )  # fmt: skip

    assert await tokens_of(engine, asked) == expected(fake.model, asked)

    (told,) = fake.bodies
    same = (
        *("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty"),
        "repetition_penalty",
    )
    assert {name: told[name] for name in same} == {name: getattr(asked, name) for name in same}
    assert told["prompt"] == list(asked.prompt)
    assert told["max_tokens"] == asked.max_new_tokens
    assert told["stop_token_ids"] == sorted(END)
    assert told["structured_outputs"] == {"grammar": asked.grammar}
    # To vLLM -1 is no seed, and what is above 2^63 - 1 does not fit.
    assert -(2**63) <= told["seed"] < 2**63
    assert told["seed"] != -1


async def test_the_prompts_of_tenants_are_cached_apart(engine: VllmEngine, fake: FakeVllm) -> None:
    for tenant in ("acme", "other", "acme"):
        await tokens_of(engine, replace(PLAIN, tenant=tenant))
    await engine.score(ScoreRequest(PLAIN.prompt, ((5,),), "other"))

    salts = [body["cache_salt"] for body in fake.bodies]

    assert salts[0] == salts[2] != salts[1] == salts[3]
    assert not any("acme" in salt for salt in salts)


async def test_the_last_piece_says_why_it_is_the_last(engine: VllmEngine, fake: FakeVllm) -> None:
    tokens = expected(fake.model)
    async with aclosing(engine.generate(PLAIN)) as pieces:
        by_limit = [piece async for piece in pieces]

    assert [piece.finish_reason for piece in by_limit] == [None] * 7 + ["length"]
    assert by_limit[-1].tokens == tokens[-1:]


async def test_an_end_token_ends_an_answer_and_is_told(
    kind: VllmKind, fake: FakeVllm, tmp_path: Path
) -> None:
    third = expected(fake.model)[2]

    engine = kind.engine_for(tmp_path, frozenset({third}))
    async with loaded(engine), aclosing(engine.generate(PLAIN)) as pieces:
        told = [piece async for piece in pieces]

    assert [piece.tokens for piece in told][-1] == (third,)
    assert told[-1].finish_reason == "stop"


async def test_alternatives_are_as_many_as_asked_for_likeliest_first(engine: VllmEngine) -> None:
    async with aclosing(engine.generate(replace(PLAIN, logprobs=2))) as pieces:
        chosen = [chosen async for piece in pieces for chosen in piece.chosen]

    assert len(chosen) == PLAIN.max_new_tokens
    for token in chosen:
        assert len(token.alternatives) == 2
        assert all(one.logprob >= next_.logprob for one, next_ in pairwise(token.alternatives))
        assert token.logprob == token.alternatives[0].logprob


async def test_an_answer_that_is_left_closes_its_connection(
    engine: VllmEngine, fake: FakeVllm
) -> None:
    pieces = engine.generate(replace(PLAIN, max_new_tokens=100_000))
    await anext(pieces)
    assert fake.in_flight == 1

    await pieces.aclose()

    await eventually(lambda: fake.in_flight == 0)
    assert await tokens_of(engine) == expected(fake.model)


@pytest.mark.parametrize(
    ("first", "error"),
    [
        (fake_vllm.REFUSE, InvalidInputError),
        (fake_vllm.FAIL, UnavailableError),
        (fake_vllm.GIVE_UP, UnavailableError),
    ],
)
async def test_what_goes_wrong_is_typed_and_harms_nobody_beside_it(
    engine: VllmEngine, fake: FakeVllm, first: int, error: type[DomainError]
) -> None:
    healthy = asyncio.create_task(tokens_of(engine))

    with pytest.raises(error):
        await tokens_of(engine, starting_with(first))

    assert await healthy == expected(fake.model)


async def test_a_temperature_that_vllm_lacks_is_refused_typed(engine: VllmEngine) -> None:
    with pytest.raises(EngineCannotError, match="up to 2"):
        await tokens_of(engine, replace(PLAIN, temperature=2.5))


async def test_a_silent_server_is_given_up(fake: FakeVllm, tmp_path: Path) -> None:
    async with running_fake(fake) as url:
        kind = VllmKind(VllmOptions(url=url, key="sesame", hang_seconds=0.2))
        async with loaded(kind.engine_for(tmp_path, END)) as engine:
            with pytest.raises(UnavailableError, match="restarting"):
                await tokens_of(engine, starting_with(fake_vllm.HANG))


@pytest.mark.parametrize(
    ("key", "model", "says"),
    [("wrong", "", "INFERENCE_VLLM_KEY"), ("sesame", "another", "--served-model-name")],
)
async def test_a_server_that_is_not_meant_for_the_model_is_refused(
    tmp_path: Path, key: str, model: str, says: str
) -> None:
    async with running_fake(FakeVllm(model or tmp_path.name, key="sesame")) as url:
        engine = VllmKind(VllmOptions(url=url, key=key)).engine_for(tmp_path, END)
        with pytest.raises(PreconditionError, match=says):
            await engine.load()
        await engine.close()


async def test_scores_are_of_each_continuation_and_what_they_share_is_asked_once(
    engine: VllmEngine, fake: FakeVllm
) -> None:
    greedy = expected(fake.model)[:2]
    continuations = ((5,), (7, 9), (7,), greedy)

    scores = await engine.score(ScoreRequest(PLAIN.prompt, continuations))

    for score, continuation in zip(scores, continuations, strict=True):
        context, likely = PLAIN.prompt, 0.0
        for token in continuation:
            likely += logprob_of(fake.model, context, token)
            context += (token,)
        assert score.log_likelihood == pytest.approx(likely)
    assert [score.is_greedy for score in scores] == [False, False, False, True]
    behind = [tuple(body["prompt"][len(PLAIN.prompt) :]) for body in fake.bodies]
    assert behind == [(), (7,), greedy[:1]]
    # It kills vLLM on a CPU, and leaves the prefix cache unread.
    assert not any("prompt_logprobs" in body for body in fake.bodies)


async def test_many_tokens_at_one_place_are_asked_for_in_parts(engine: VllmEngine) -> None:
    continuations = tuple((token,) for token in range(3, 300))

    scores = await engine.score(ScoreRequest(PLAIN.prompt, continuations))

    assert [score.is_greedy for score in scores].count(True) == 1


async def test_adapters_share_the_server_and_answer_as_themselves(
    kind: VllmKind, fake: FakeVllm, tmp_path: Path
) -> None:
    base = kind.engine_for(tmp_path, END)
    adapters = [kind.engine_for(tmp_path, END, tmp_path / name) for name in ("a", "b")]
    async with loaded(base), loaded(adapters[0]), loaded(adapters[1]):
        assert list(fake.adapters.values()) == [str(tmp_path / "a"), str(tmp_path / "b")]
        names = [fake.model, *fake.adapters]

        answers = await asyncio.gather(*map(tokens_of, (base, *adapters)))

        assert answers == [expected(name) for name in names]
        await adapters[0].close()
        assert list(fake.adapters.values()) == [str(tmp_path / "b")]
        with pytest.raises(UnavailableError):
            await tokens_of(adapters[0])
        assert await tokens_of(adapters[1]) == answers[2]


async def test_an_adapter_that_the_server_forgot_is_loaded_again(
    kind: VllmKind, fake: FakeVllm, tmp_path: Path
) -> None:
    async with loaded(kind.engine_for(tmp_path, END, tmp_path / "a")) as engine:
        before = await tokens_of(engine)
        fake.adapters.clear()

        assert await tokens_of(engine) == before

        fake.adapters.clear()
        assert len(await engine.score(ScoreRequest((20,), ((5,),)))) == 1


async def test_an_adapter_that_vllm_refuses_is_a_typed_error(
    kind: VllmKind, fake: FakeVllm, tmp_path: Path
) -> None:
    fake.refused_adapters.add(str(tmp_path / "bad"))
    engine = kind.engine_for(tmp_path, END, tmp_path / "bad")

    with pytest.raises(PreconditionError, match="adapter"):
        await engine.load()
    await engine.close()
