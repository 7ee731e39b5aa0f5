"""Requests with a repetition penalty never read what another is still writing."""

import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_inference.adapters.openvino import EXACT, PipelineOptions
from modelmill_inference.children.openvino import OpenVinoRunner, PenaltyQueue

from .test_openvino_engine import PLAIN

REQUESTS = 40
ENDS = 2
Add = dict[str, Any]


def opened(folder: Path, *, prefix_cache: bool) -> OpenVinoRunner:
    one_thread = EXACT | {"INFERENCE_NUM_THREADS": 1}
    options = PipelineOptions(properties=one_thread, prefix_cache=prefix_cache)
    return OpenVinoRunner(options.load_message() | {"folder": str(folder)})


def asked(number: int, prompt: list[int], penalty: float) -> Add:
    request = replace(
        PLAIN, prompt=tuple(prompt), repetition_penalty=penalty, max_new_tokens=16, tenant="acme"
    )
    return asdict(request) | {"id": number, "eos_ids": [ENDS]}


def with_common_beginnings(chance: random.Random, penalties: list[float]) -> list[Add]:
    beginning = [chance.randrange(3, 300) for _ in range(400)]
    adds = []
    for number in range(1, REQUESTS + 1):
        shared, own = chance.randrange(1, 150), chance.randrange(0, 60)
        prompt = beginning[:shared] + [chance.randrange(3, 300) for _ in range(own)]
        adds.append(asked(number, prompt, chance.choice(penalties)))
    return adds


def alone(runner: OpenVinoRunner, add: Add) -> list[int]:
    runner.add(add)
    tokens = []
    while runner.busy:
        tokens += [token for updates in runner.step() for token in updates.tokens]
    return tokens


def together(
    runner: OpenVinoRunner, adds: list[Add], chance: random.Random
) -> dict[int, list[int]]:
    """Answers by request, of those that are not left: a third is, some steps after it began."""
    waiting, said = [*adds], {}
    left = set(chance.sample([add["id"] for add in adds], REQUESTS // 3))
    while waiting or runner.busy:
        while waiting and chance.random() < 0.6:
            add = waiting.pop(0)
            runner.add(add)
            said[add["id"]] = []
        if runner.busy:
            for updates in runner.step():
                said[updates.number] += updates.tokens
        for number in sorted(left & said.keys()):
            if chance.random() < 0.15:
                left.discard(number)
                runner.cancel(number)
                del said[number]
                # What is known of it is of no use to anybody.
                adds = [add for add in adds if add["id"] != number]
    return said


@pytest.mark.heavy
@pytest.mark.parametrize("penalties", [[1.2], [1.0, 1.2, 1.5]])
def test_beside_others_with_the_same_beginning_it_says_what_it_says_alone(
    openvino_folder: Path, penalties: list[float]
) -> None:
    by_itself = opened(openvino_folder, prefix_cache=False)
    for seed in (8, 9):
        chance = random.Random(seed)
        adds = with_common_beginnings(chance, penalties)
        expected = {add["id"]: alone(by_itself, add) for add in adds}
        said = together(opened(openvino_folder, prefix_cache=True), adds, chance)
        assert said == {number: expected[number] for number in said}


@pytest.mark.heavy
def test_one_that_waits_can_be_left_and_takes_no_turn(openvino_folder: Path) -> None:
    runner = opened(openvino_folder, prefix_cache=True)
    for number in (1, 2, 3):
        runner.add(asked(number, [5, 6, 7], 1.2))
    runner.cancel(2)
    runner.cancel(1)
    heard = set()
    while runner.busy:
        heard |= {updates.number for updates in runner.step()}

    assert heard == {3}


@given(
    requests=st.lists(
        st.tuples(st.integers(3, 5), st.sampled_from([1.0, 1.2])), min_size=1, max_size=12
    ),
    shares=st.booleans(),
    data=st.data(),
)
def test_of_one_beginning_one_runs_and_all_come_to_their_turn(
    requests: list[tuple[int, float]], shares: bool, data: st.DataObject
) -> None:
    turns, running, begun = PenaltyQueue(shares=shares), {}, []

    def begin(add: Add) -> None:
        turns.begin(add)
        running[add["id"]] = add
        begun.append(add["id"])

    for number, (first, penalty) in enumerate(requests):
        add = {"id": number, "prompt": [first], "repetition_penalty": penalty}
        if turns.must_wait(add):
            assert shares
            assert penalty != 1
            turns.take(add)
        else:
            begin(add)
    while running:
        for first in (3, 4, 5):
            alike = [a for a in running.values() if a["prompt"] == [first]]
            assert not shares or sum(a["repetition_penalty"] != 1 for a in alike) <= 1
        ended = data.draw(st.sampled_from(sorted(running)))
        del running[ended]
        turns.leave(ended)
        for add in turns.next():
            begin(add)

    assert sorted(begun) == list(range(len(requests)))
    for first in (3, 4, 5):
        penalised = [n for n in begun if requests[n] == (first, 1.2)]
        assert not shares or penalised == sorted(penalised)
