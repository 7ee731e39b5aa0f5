"""Prompt lookup changes how fast an exact engine answers, and never what."""

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_inference.adapters.openvino import EXACT, PipelineOptions
from modelmill_inference.children.openvino import OpenVinoRunner
from modelmill_inference.children.openvino_lookup import TRIED_EVERY, DraftChoice, PromptLookup
from modelmill_inference.domain.generation import GenerationRequest

ENDS = 2
ASKED = GenerationRequest(tuple(range(20, 60)) * 3, max_new_tokens=48)
"""What it says to a text that repeats itself repeats, too."""
Add = dict[str, Any]


class EachDrafts(DraftChoice):
    """Whatever was faster: of so small a model that is chance."""

    def drafts(self) -> bool:
        return True


def opened(folder: Path, **options: Any) -> OpenVinoRunner:
    one_thread = EXACT | {"INFERENCE_NUM_THREADS": "1"}
    load = PipelineOptions(properties=one_thread, **options).load_message()
    return OpenVinoRunner(load | {"folder": str(folder)}, choice=EachDrafts())


def add(number: int, request: GenerationRequest = ASKED) -> Add:
    return asdict(request) | {"id": number, "eos_ids": [ENDS]}


class Ran:
    """Requests that ran to their end, with those that were there before."""

    def __init__(self, runner: OpenVinoRunner, *adds: Add) -> None:
        self.tokens: defaultdict[int, list[int]] = defaultdict(list)
        self.accepted = self.steps = 0
        for each in adds:
            runner.add(each)
        while runner.busy:
            self.steps += 1
            for update in runner.step():
                self.tokens[update.number] += update.tokens
                self.accepted += update.accepted


@pytest.fixture(scope="module")
def plain(openvino_folder: Path) -> OpenVinoRunner:
    return opened(openvino_folder)


@pytest.fixture(scope="module")
def drafting(lookup_folder: Path) -> OpenVinoRunner:
    return opened(lookup_folder)


@pytest.fixture
def numbers() -> Iterator[int]:
    """Ids of requests, which are never used again."""
    return iter(range(random.randrange(1, 10**9), 2 * 10**9))


def texts_with_repeats(chance: random.Random, count: int) -> Iterator[GenerationRequest]:
    """Prompts of one conversation after another, of two tenants; every other one is longer than
    the 256 tokens of a step."""
    for number in range(count):
        piece = [chance.randrange(5, 300) for _ in range(chance.randrange(3, 60))]
        prompt = tuple(piece * chance.randrange(1, 9))
        yield replace(ASKED, prompt=prompt, tenant=f"tenant{number % 2}")
        yield replace(ASKED, prompt=(*prompt, *piece[:7]), tenant=f"tenant{number % 2}")


@pytest.mark.heavy
def test_greedy_answers_alone_are_those_without_drafts(
    plain: OpenVinoRunner, drafting: OpenVinoRunner, numbers: Iterator[int]
) -> None:
    accepted = 0
    for request in texts_with_repeats(random.Random(5), 30):
        asked = add(next(numbers), request)
        with_drafts, without = Ran(drafting, asked), Ran(plain, asked)
        accepted += with_drafts.accepted

        assert with_drafts.tokens == without.tokens
        assert without.accepted == 0
    assert accepted > 30


@pytest.mark.heavy
def test_each_accepted_token_saves_a_step(
    plain: OpenVinoRunner, drafting: OpenVinoRunner, numbers: Iterator[int]
) -> None:
    asked = add(next(numbers))
    with_drafts, without = Ran(drafting, asked), Ran(plain, asked)

    assert with_drafts.steps == without.steps - with_drafts.accepted
    assert with_drafts.accepted > 0


@pytest.mark.heavy
@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0},
        {"presence_penalty": 0.5},
        {"frequency_penalty": 0.5},
        {"repetition_penalty": 1.2},
        {"logprobs": 0},
        {"grammar": 'root ::= "a" [b-z]*'},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_the_likeliest_token_does_not_decide_is_not_drafted(
    drafting: OpenVinoRunner, numbers: Iterator[int], options: dict[str, Any]
) -> None:
    assert Ran(drafting, add(next(numbers), replace(ASKED, **options))).accepted == 0


@pytest.mark.heavy
def test_requests_beside_others_are_not_drafted(
    plain: OpenVinoRunner, drafting: OpenVinoRunner, numbers: Iterator[int]
) -> None:
    first, second, third = (add(next(numbers)) for _ in range(3))
    alone = Ran(plain, first)
    drafting.add(first)
    begun = drafting.step()
    while not any(update.accepted for update in begun):
        begun += drafting.step()
    ran = Ran(drafting, second, third)

    said = [token for update in begun for token in update.tokens]
    assert said + ran.tokens[first["id"]] == alone.tokens[first["id"]]
    assert [ran.tokens[each["id"]] for each in (second, third)] == [*alone.tokens.values()] * 2
    assert ran.accepted == 0
    assert Ran(drafting, add(next(numbers))).accepted > 0


@pytest.mark.heavy
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 60), st.integers(0, 3))
def test_whenever_others_come_each_answer_stays_the_same(
    plain: OpenVinoRunner,
    drafting: OpenVinoRunner,
    numbers: Iterator[int],
    steps: int,
    others: int,
) -> None:
    chance = random.Random(steps)
    first, *more = texts_with_repeats(chance, 2)
    asked = add(next(numbers), first)
    rest = [add(next(numbers), each) for each in more[:others]]
    alone = [Ran(plain, each).tokens[each["id"]] for each in (asked, *rest)]

    drafting.add(asked)
    said = [token for _ in range(steps) for update in drafting.step() for token in update.tokens]
    ran = Ran(drafting, *rest)

    assert said + ran.tokens[asked["id"]] == alone[0]
    assert [ran.tokens[each["id"]] for each in rest] == alone[1:]


@pytest.mark.heavy
def test_a_request_that_is_cancelled_makes_room_for_the_next(
    plain: OpenVinoRunner, drafting: OpenVinoRunner, numbers: Iterator[int]
) -> None:
    left, asked = add(next(numbers)), add(next(numbers))
    drafting.add(left)
    drafting.step()
    drafting.cancel(left["id"])

    assert Ran(drafting, asked).tokens == Ran(plain, asked).tokens


@pytest.mark.heavy
def test_an_operator_can_switch_it_off(lookup_folder: Path) -> None:
    assert Ran(opened(lookup_folder, prompt_lookup=False), add(1)).accepted == 0


def says(folder: Path, **said: Any) -> Path:
    (folder / "generation_config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ["prompt_lookup_num_tokens", "max_matching_ngram_size"])
@pytest.mark.parametrize("value", [0, 17, -1, "4", 2.0, True, [4]])
def test_numbers_that_no_pipeline_takes_are_refused_by_name(
    tmp_path: Path, name: str, value: Any
) -> None:
    folder = says(tmp_path, **{"prompt_lookup_num_tokens": 4, name: value})

    with pytest.raises(ValueError, match=name):
        PromptLookup.of(folder)


def test_a_build_says_whether_it_drafts(tmp_path: Path) -> None:
    assert PromptLookup.of(tmp_path) is None
    assert PromptLookup.of(says(tmp_path, max_matching_ngram_size=2)) is None
    assert PromptLookup.of(says(tmp_path, prompt_lookup_num_tokens=8)) == PromptLookup(8, 3)
    assert PromptLookup.of(
        says(tmp_path, prompt_lookup_num_tokens=1, max_matching_ngram_size=2)
    ) == PromptLookup(1, 2)


class Requests:
    """Requests that run alone, of which a token takes so long."""

    def __init__(self) -> None:
        self._choice = DraftChoice()

    def ask(self, count: int, *, drafted: float, plain: float, tokens: int = 20) -> list[bool]:
        """Whether each drafts.

        Args:
            drafted: Seconds of a token with drafts.
            plain: Without.
        """
        chosen = []
        for _ in range(count):
            drafts = self._choice.drafts()
            seconds = tokens * (drafted if drafts else plain)
            self._choice.note(drafts=drafts, tokens=tokens, seconds=seconds)
            chosen.append(drafts)
        return chosen


@pytest.mark.parametrize("saves", [True, False])
def test_requests_go_the_faster_way_but_for_one_of_many(saves: bool) -> None:
    chosen = Requests().ask(
        2 + 10 * TRIED_EVERY, drafted=1 if saves else 2, plain=2 if saves else 1
    )

    assert chosen[:2] == [True, False]
    assert chosen[2:].count(not saves) == 10


def test_other_texts_change_the_way_within_a_few_trials() -> None:
    requests = Requests()
    requests.ask(100, drafted=2, plain=1)

    assert not any(requests.ask(TRIED_EVERY - 1, drafted=2, plain=1)[:5])
    requests.ask(8 * TRIED_EVERY, drafted=0.5, plain=1)
    assert requests.ask(TRIED_EVERY, drafted=0.5, plain=1).count(True) == TRIED_EVERY - 1


def test_answers_of_one_step_say_nothing_of_the_pace() -> None:
    assert all(Requests().ask(50, drafted=9, plain=1, tokens=0))


@pytest.mark.heavy
def test_a_version_that_drafts_measures_both_ways(
    lookup_folder: Path, numbers: Iterator[int]
) -> None:
    class Noted(DraftChoice):
        def __init__(self) -> None:
            super().__init__()
            self.tokens: dict[bool, int] = {}

        def note(self, *, drafts: bool, tokens: int, seconds: float) -> None:
            super().note(drafts=drafts, tokens=tokens, seconds=seconds)
            self.tokens[drafts] = tokens
            assert seconds > 0

    choice = Noted()
    load = PipelineOptions(properties=EXACT).load_message() | {"folder": str(lookup_folder)}
    runner = OpenVinoRunner(load, choice)
    drafted, plain = Ran(runner, add(next(numbers))), Ran(runner, add(next(numbers)))

    assert drafted.accepted > plain.accepted == 0
    assert [*drafted.tokens.values()] == [*plain.tokens.values()]
    assert choice.tokens == {True: ASKED.max_new_tokens - 1, False: ASKED.max_new_tokens - 1}
    choice.tokens.clear()
    Ran(runner, add(next(numbers)), add(next(numbers)))
    assert not choice.tokens
