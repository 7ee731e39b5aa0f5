"""Measuring a candidate under a load, and counting its weights."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from modelmill_optimizer_builder.adapters.round_robin_served import answer_in_turn
from modelmill_optimizer_builder.adapters.weight_headers import count_weights
from modelmill_optimizer_builder.domain.objectives import Load
from modelmill_optimizer_builder.measure_load import ALONE_ROUNDS, ROUNDS, measure
from safetensors.numpy import save_file

TEXT = list(range(100))


class Counting:
    """Reads nothing; remembers the pieces."""

    def __init__(self) -> None:
        self.pieces: list[int] = []

    def read(self, tokens: Sequence[int]) -> int:
        self.pieces.append(len(tokens))
        return 7


class InTurn:
    """A served model that only counts."""

    def __init__(self) -> None:
        self.asked: list[list[list[int]]] = []

    def answer(
        self, prompts: Sequence[Sequence[int]], new_tokens: int, on_step: Callable[[], None]
    ) -> list[list[float]]:
        self.asked.append([list(prompt) for prompt in prompts])
        readers = [Counting() for _ in prompts]
        return answer_in_turn(readers, prompts, new_tokens, 128, on_step)


def test_every_round_has_the_load_and_other_prompts() -> None:
    model = InTurn()

    repeat = measure(model, Load(10, 4, 3), TEXT, lambda: None)

    assert len(repeat.rounds) == ROUNDS
    assert all(len(one.latencies_ms) == len(one.first_token_ms) == 3 for one in repeat.rounds)
    assert len(repeat.alone_ms) == ALONE_ROUNDS
    assert repeat.memory_mb > 1
    prompts = [tuple(prompt) for round_ in model.asked for prompt in round_]
    assert {len(prompt) for prompt in prompts} == {10}
    assert len({prompt[:5] for prompt in prompts[:12]}) == 12, "a cache knew their beginnings"


def test_a_load_of_one_request_needs_none_alone() -> None:
    assert measure(InTurn(), Load(10, 4, 1), TEXT, lambda: None).alone_ms == ()


def test_a_prompt_longer_than_the_text_goes_on_from_its_beginning() -> None:
    model = InTurn()

    measure(model, Load(250, 1, 1), TEXT, lambda: None)

    assert model.asked[0][0][99:102] == [99, 0, 1]


def test_requests_that_are_not_batched_take_turns() -> None:
    readers = [Counting(), Counting()]
    steps: list[float] = []

    times = answer_in_turn(readers, [[1] * 300, [1] * 5], 3, 128, lambda: steps.append(0))

    assert [reader.pieces for reader in readers] == [[128, 128, 44, 1, 1], [5, 1, 1]]
    assert [len(answer) for answer in times] == [3, 3]
    assert len(steps) == 8
    assert times[1][0] < times[0][0], "a short prompt waited for a long one"
    assert times[0] == sorted(times[0])


def test_weights_are_counted_from_headers_and_an_own_embedding_is_not_read(tmp_path: Path) -> None:
    tensors = {
        "model.embed_tokens.weight": np.zeros((10, 4), np.float32),
        "model.layers.0.weight": np.zeros((4, 4), np.float32),
    }
    save_file(tensors, tmp_path / "a.safetensors")
    tied = count_weights(tmp_path)
    save_file({"lm_head.weight": np.zeros((10, 4), np.float32)}, tmp_path / "b.safetensors")
    own = count_weights(tmp_path)

    assert (tied.parameters, tied.read_by_step, tied.bf16_bytes) == (56, 56, 112)
    assert (own.parameters, own.read_by_step) == (96, 56)


@pytest.mark.parametrize("content", [b"", b"\xff" * 16, b"\x00" * 8])
def test_a_file_that_is_no_safetensors_file_is_refused_by_name(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)

    with pytest.raises(ValueError, match=r"model\.safetensors is no safetensors file"):
        count_weights(tmp_path)
