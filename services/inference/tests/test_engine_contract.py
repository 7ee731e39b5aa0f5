"""One suite for every engine; what it cannot show is that a text is what the model means.

A case that needs an ability shows for an engine without it that the request is refused typed, and
notes that it cannot: `engine_table` prints which engine can what.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio
from modelmill_inference.domain.generation import EngineCannotError
from modelmill_inference.domain.grammar.tree import Grammar, Literal, printed
from modelmill_inference.domain.sampling import MIN_TOP_P, OutputConstraint
from modelmill_service_kit.errors import UnavailableError
from modelmill_tokenization import Turn
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .engine_bench import CANNOT, ENGINES, LIMITS, PROMPTS, Bench, engines_to_test, open_bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIGITS = 'root ::= [0-9] [0-9] "-" [0-9] [0-9]'


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[
        pytest.param(name, marks=[] if name == "fake" else [pytest.mark.heavy])
        for name in engines_to_test()
    ],
)
async def bench(request: pytest.FixtureRequest, tokenizer: ChatTokenizer) -> AsyncIterator[Bench]:
    fixture = ENGINES[request.param].folder
    folder = request.getfixturevalue(fixture) if fixture else Path()
    async with open_bench(request.param, folder, tokenizer) as bench:
        yield bench
    with pytest.raises(UnavailableError):
        await bench.pieces("after the end")


@pytest.fixture
def cannot(record_property: Callable[[str, object], None]) -> Callable[[object], bool]:
    """Whether an ability is none; the case is then noted as one that the engine cannot do."""

    def noted(ability: object) -> bool:
        if not ability:
            record_property(CANNOT, True)
        return not ability

    return noted


Cannot = Callable[[object], bool]


async def test_it_generates_up_to_the_limit_and_says_so(bench: Bench) -> None:
    pieces = await bench.pieces(PROMPTS[0], max_new_tokens=9)

    count = sum(piece.tokens for piece in pieces)
    assert count == 9 if pieces[-1].finish_reason == "length" else count <= 9
    assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1].finish_reason in ("length", "stop")
    assert any(piece.text for piece in pieces)


async def test_greedy_answers_repeat(bench: Bench) -> None:
    assert await bench.text(PROMPTS[1]) == await bench.text(PROMPTS[1])


async def test_a_seed_repeats_an_answer_and_another_seed_changes_it(bench: Bench) -> None:
    answers = [
        await bench.text(PROMPTS[2], temperature=1.0, seed=seed) for seed in (5, 5, 6, 2**64 - 1)
    ]

    assert answers[0] == answers[1]
    assert len(set(answers)) == 3


async def test_of_one_token_to_draw_from_the_likeliest_is_drawn(bench: Bench) -> None:
    greedy = await bench.tokens(PROMPTS[2])

    for likeliest in ({"top_k": 1}, {"top_p": MIN_TOP_P}):
        assert await bench.tokens(PROMPTS[2], temperature=2.0, seed=3, **likeliest) == greedy


@pytest.mark.parametrize(
    "penalty",
    [{"presence_penalty": 2.0}, {"frequency_penalty": 2.0}, {"repetition_penalty": 5.0}],
)
async def test_penalties_change_what_is_said(bench: Bench, penalty: dict[str, float]) -> None:
    plain = await bench.tokens(PROMPTS[3], max_new_tokens=60)

    assert await bench.tokens(PROMPTS[3], max_new_tokens=60, **penalty) != plain


async def test_a_prompt_of_turns_is_answered_without_marks_of_turns(bench: Bench) -> None:
    messages: list[Turn] = [{"role": "user", "content": "价格 <|im_end|>"}]
    prompt = bench.tokenizer.render(messages, add_generation_prompt=True)

    answers = [await bench.text(prompt, temperature=1.0, seed=seed) for seed in range(3)]

    assert len(set(answers)) == 3
    assert not any(mark in answer for answer in answers for mark in ("<|im_", "<|endof"))


async def test_pieces_are_the_whole_text_cut_between_characters(bench: Bench) -> None:
    for seed in range(4):
        wanted = {"temperature": 1.0, "seed": seed, "max_new_tokens": 60}
        pieces = await bench.pieces(PROMPTS[6], **wanted)
        tokens = await bench.tokens(PROMPTS[6], **wanted)

        assert "".join(piece.text for piece in pieces) == bench.tokenizer.decode(tokens)


async def test_an_answer_ends_before_its_stop_text(bench: Bench) -> None:
    whole = await bench.text(PROMPTS[3])
    stop = whole[8:11]

    pieces = await bench.pieces(PROMPTS[3], stop=(stop, "never to be seen"))

    assert "".join(piece.text for piece in pieces) == whole[: whole.index(stop)]
    assert pieces[-1].finish_reason == "stop"


async def test_requests_side_by_side_get_what_they_get_alone(bench: Bench, cannot: Cannot) -> None:
    if cannot(bench.engine.abilities.exact):
        pytest.skip("the engine says that it cannot")
    alone = [await bench.text(prompt, temperature=0.8, seed=7) for prompt in PROMPTS]

    together = await asyncio.gather(
        *(bench.text(prompt, temperature=0.8, seed=7) for prompt in PROMPTS)
    )

    assert together == alone
    assert len(set(alone)) == len(alone)


async def test_a_request_that_is_left_leaves_the_others_alone(bench: Bench) -> None:
    alone = await bench.text(PROMPTS[4])
    healthy = asyncio.create_task(bench.text(PROMPTS[4]))
    for prompt in PROMPTS[5:]:
        async with aclosing(bench.engine.generate(bench.plan(prompt, max_new_tokens=400))) as left:
            await anext(left)

    assert await healthy == alone


async def test_a_prompt_of_the_whole_context_leaves_one_token(bench: Bench) -> None:
    prompt = "9" * (LIMITS.context_tokens - 1)

    pieces = await bench.pieces(prompt, max_new_tokens=100)

    assert sum(piece.tokens for piece in pieces) == 1


async def test_every_token_tells_how_likely_it_was(bench: Bench, cannot: Cannot) -> None:
    if cannot(bench.engine.abilities.logprobs is not None):
        with pytest.raises(EngineCannotError):
            bench.plan(PROMPTS[0], logprobs=0)
        return
    pieces = await bench.pieces(PROMPTS[0], logprobs=0)
    told = [token for piece in pieces for token in piece.logprobs]

    assert len(told) == sum(piece.tokens for piece in pieces)
    assert all(token.logprob <= 0 and math.isfinite(token.logprob) for token in told)


async def test_alternatives_come_likeliest_first(bench: Bench, cannot: Cannot) -> None:
    if cannot(bench.engine.abilities.logprobs):
        with pytest.raises(EngineCannotError):
            bench.plan(PROMPTS[0], logprobs=1)
        return
    pieces = await bench.pieces(PROMPTS[0], logprobs=2)
    told = [token for piece in pieces for token in piece.logprobs]

    for token in told:
        likely = [logprob for _, logprob in token.alternatives]
        assert len(likely) == 2
        assert likely == sorted(likely, reverse=True)
        assert token.logprob == pytest.approx(likely[0], abs=1e-4)


async def test_a_grammar_is_kept_beside_free_answers(bench: Bench, cannot: Cannot) -> None:
    if cannot(bench.engine.abilities.grammar):
        with pytest.raises(EngineCannotError):
            bench.plan(PROMPTS[0], constraint=OutputConstraint("regex", "a"))
        return
    free = asyncio.create_task(bench.text(PROMPTS[1]))
    held = [await bench.text(prompt, grammar=DIGITS, temperature=1.0, seed=4) for prompt in PROMPTS]

    for text in held:
        left, right = text.split("-")
        assert len(left) == len(right) == 2
        assert (left + right).isdecimal()
    assert await free == await bench.text(PROMPTS[1])


async def test_characters_of_many_tokens_come_whole(bench: Bench, cannot: Cannot) -> None:
    if cannot(bench.engine.abilities.grammar):
        with pytest.raises(EngineCannotError):
            bench.plan(PROMPTS[0], constraint=OutputConstraint("regex", "a"))
        return
    grammar = 'root ::= ("\\U00004ef7" | "\\U0001f642" | "\\U000000e9"){9}'

    pieces = await bench.pieces(PROMPTS[5], grammar=grammar, temperature=1.0, max_new_tokens=60)

    assert sum(piece.tokens for piece in pieces) > 9
    assert set("".join(piece.text for piece in pieces)) <= set("价🙂é")


async def test_a_text_that_must_be_said_is_said_as_it_is(bench: Bench) -> None:
    if not bench.engine.abilities.grammar:
        return
    for text in ("éa", "Ünï1 \u00a0f", "价a 🙂0"):
        grammar = printed(Grammar(Literal(text)))

        assert await bench.text(PROMPTS[5], grammar=grammar, max_new_tokens=60) == text


async def test_a_grammar_changes_nothing_for_the_same_prompt_later(
    bench: Bench, cannot: Cannot
) -> None:
    if cannot(bench.engine.abilities.grammar):
        with pytest.raises(EngineCannotError):
            bench.plan(PROMPTS[0], constraint=OutputConstraint("regex", "a"))
        return
    prompt = 12 * "the kind of animal "
    free = await bench.text(prompt)

    held = [await bench.text(prompt, grammar=DIGITS) for _ in range(2)]

    assert held[0] == held[1] != free
    assert await bench.text(prompt) == free


async def test_scores_add_up_and_do_not_depend_on_what_else_is_scored(
    bench: Bench, cannot: Cannot
) -> None:
    if cannot(bench.engine.abilities.score):
        with pytest.raises(EngineCannotError):
            await bench.scores("a", "b")
        return
    whole, half, other = await bench.scores(PROMPTS[0], "ab cd", "ab", "xyz")
    (alone,) = await bench.scores(PROMPTS[0], "ab cd")
    (rest,) = await bench.scores(PROMPTS[0] + "ab", " cd")

    assert alone.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-3)
    assert whole.log_likelihood < half.log_likelihood < 0
    assert other.log_likelihood < 0
    assert half.log_likelihood + rest.log_likelihood == pytest.approx(
        whole.log_likelihood, rel=1e-2
    )


async def test_vectors_have_length_one_and_differ_by_text(bench: Bench, cannot: Cannot) -> None:
    if cannot(bench.engine.abilities.embed):
        return
    first, second, again = await bench.vectors("a dog", "价格 12", "a dog")

    assert math.hypot(*first) == pytest.approx(1, abs=1e-4)
    assert first == pytest.approx(again, abs=1e-4)
    assert first != pytest.approx(second, abs=1e-2)
