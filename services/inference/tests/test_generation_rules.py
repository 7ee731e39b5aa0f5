import math

import pytest
from modelmill_inference.domain.generation import (
    Abilities,
    EngineCannotError,
    ModelLimits,
    PromptTooLongError,
    check_prompt_length,
    plan_generation,
)
from modelmill_inference.domain.sampling import OutputConstraint, SamplingOptions, check_options
from modelmill_service_kit.errors import InvalidInputError

LIMITS = ModelLimits(context_tokens=10, vocabulary=100)
PLAIN = Abilities()


def test_without_a_limit_the_answer_may_fill_the_context() -> None:
    request = plan_generation([1, 2, 3], SamplingOptions(), LIMITS, PLAIN, random_seed=0)

    assert request.max_new_tokens == 7


def test_a_limit_beyond_the_context_ends_at_the_context() -> None:
    options = SamplingOptions(max_new_tokens=50)

    assert plan_generation([1] * 9, options, LIMITS, PLAIN, random_seed=0).max_new_tokens == 1


def test_a_prompt_that_leaves_no_room_is_refused_with_both_numbers() -> None:
    with pytest.raises(PromptTooLongError, match="prompt has 10 tokens, the limit is 9"):
        plan_generation([1] * 10, SamplingOptions(), LIMITS, PLAIN, random_seed=0)


def test_a_text_that_cannot_fit_is_refused_unread() -> None:
    check_prompt_length(45, 5, LIMITS)

    with pytest.raises(PromptTooLongError, match="at least 10 tokens, the limit is 9"):
        check_prompt_length(46, 5, LIMITS)


@pytest.mark.parametrize("prompt", [[], [100], [-1], [5, 2**40]])
def test_a_prompt_without_tokens_or_with_foreign_ones_is_refused(prompt: list[int]) -> None:
    with pytest.raises(InvalidInputError):
        plan_generation(prompt, SamplingOptions(), LIMITS, PLAIN, random_seed=0)


@pytest.mark.parametrize(
    ("named", "wanted", "why"),
    [
        (None, 0, "returns no log-probabilities"),
        (0, 1, "of chosen tokens only"),
        (2, 3, "at most 2 alternatives"),
    ],
)
def test_more_alternatives_than_the_engine_names_are_refused_in_one_line(
    named: int | None, wanted: int, why: str
) -> None:
    options, able = SamplingOptions(logprobs=wanted), Abilities(logprobs=named)

    with pytest.raises(EngineCannotError, match=why):
        plan_generation([1], options, LIMITS, able, random_seed=0)


def test_a_callers_seed_is_kept_also_when_it_is_zero() -> None:
    chosen = plan_generation([1], SamplingOptions(seed=0), LIMITS, PLAIN, random_seed=7)
    random = plan_generation([1], SamplingOptions(), LIMITS, PLAIN, random_seed=7)

    assert (chosen.seed, random.seed) == (0, 7)


@pytest.mark.parametrize(
    "options",
    [
        SamplingOptions(max_new_tokens=-1),
        SamplingOptions(temperature=-0.1),
        SamplingOptions(temperature=1e-30),
        SamplingOptions(temperature=math.nan),
        SamplingOptions(temperature=math.inf),
        SamplingOptions(top_p=0),
        SamplingOptions(top_p=1.1),
        SamplingOptions(top_p=math.nan),
        SamplingOptions(stop=("",)),
        SamplingOptions(stop=("x" * 257,)),
        SamplingOptions(stop=("x",) * 17),
        SamplingOptions(seed=2**64),
        SamplingOptions(top_k=-1),
        SamplingOptions(presence_penalty=2.1),
        SamplingOptions(frequency_penalty=math.nan),
        SamplingOptions(repetition_penalty=0),
        SamplingOptions(logprobs=21),
        SamplingOptions(answers=0),
        SamplingOptions(answers=17),
    ],
)
def test_options_that_no_engine_can_follow_are_refused(options: SamplingOptions) -> None:
    with pytest.raises(InvalidInputError):
        check_options(options)


def test_all_that_is_wrong_with_options_is_said_at_once() -> None:
    wrong = SamplingOptions(temperature=-1, top_p=2, stop=("",), seed=-1)

    with pytest.raises(InvalidInputError) as refused:
        check_options(wrong)

    assert len(refused.value.errors) == 4


@pytest.mark.parametrize(
    "options",
    [
        SamplingOptions(constraint=OutputConstraint("regex", "a")),
        SamplingOptions(logprobs=0),
        SamplingOptions(logprobs=3),
    ],
)
def test_what_an_engine_cannot_do_is_refused_with_a_reason_of_its_own(
    options: SamplingOptions,
) -> None:
    with pytest.raises(EngineCannotError):
        plan_generation([1], options, LIMITS, PLAIN, random_seed=0)

    able = Abilities(logprobs=3, grammar=True)
    assert plan_generation([1], options, LIMITS, able, random_seed=0).seed == 0
