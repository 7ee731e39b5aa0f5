"""A process of compression.exit.*: a model that learns to answer at earlier layers, and does.

    python -m tests.bench.early_exit_child REQUEST RESULT

Choices begin with different tokens, so that the first token decides, and the rest of an answer is
known with it. An exit reads the last layer's norm and head from an earlier layer. The model learns
its rows once more, all weights, with the losses of exits beside that of the last layer (LayerSkip,
Elhoushi et al. 2024). A confidence is the share of the likeliest of the choices' first tokens; the
least confidence that an exit needs is chosen by valid rows.

A line of JSON on stdout for each step, as `forms_child` has it.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from transformers import AutoModelForCausalLM

EXIT_WEIGHT = 0.3
RATE, WARM_UP, BATCH_ROWS = 5e-5, 0.1, 16
MOST_VALID_POINTS = 0.01
"""That the adaptive exit may lose of the valid rows."""
CONFIDENCES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.01)
IGNORED = -100

Say = Callable[[str, int, int], None]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What one exit says of a row."""

    choice: int
    confidence: float


class Exits:
    """A model whose answers may leave at some of its layers.

    Args:
        layers: Those with an exit, counted from 1; the last one is the model's own.
        first_tokens: Of each choice.
    """

    def __init__(self, model: Any, layers: Sequence[int], first_tokens: Sequence[int]) -> None:
        self._model = model
        self._body = model.model
        self.layers = tuple(layers)
        self._first = torch.tensor(first_tokens)

    @torch.inference_mode()
    def answers(self, ids: Sequence[int]) -> list[Answer]:
        """What each exit says, in the order of `layers`."""
        states = self._body(torch.tensor([ids]), output_hidden_states=True).hidden_states
        return [self._answer(self._read(states, layer)[0, -1]) for layer in self.layers]

    @torch.inference_mode()
    def first_confident(self, ids: Sequence[int], confidence: float) -> tuple[int, int]:
        """The choice of the first exit that is confident, and its layer; later ones do not run."""
        found = self._body.embed_tokens(torch.tensor([ids]))
        places = self._body.rotary_emb(found, torch.arange(len(ids))[None])
        last = self.layers[-1]
        for number, layer in enumerate(self._body.layers[:last], start=1):
            found = layer(found, attention_mask=None, position_embeddings=places)
            if number in self.layers:
                answer = self._answer(self._body.norm(found[0, -1]))
                if answer.confidence >= confidence or number == last:
                    return answer.choice, number
        raise AssertionError("the last layer always answers")

    def loss(self, ids: Tensor, labels: Tensor) -> Tensor:
        """Of the last layer, and `EXIT_WEIGHT` of the mean of the others."""
        states = self._body(ids, output_hidden_states=True).hidden_states
        places = labels[:, 1:] != IGNORED
        wanted = labels[:, 1:][places]
        head = self._model.lm_head
        *exits, last = [
            cross_entropy(head(self._read(states, layer)[:, :-1][places]), wanted)
            for layer in self.layers
        ]
        mean: Tensor = torch.stack(exits).mean()
        return last + EXIT_WEIGHT * mean

    def _read(self, states: Sequence[Tensor], layer: int) -> Tensor:
        """States behind a layer as the head takes them; the last ones are normed already."""
        found: Tensor = states[layer]
        return found if layer == len(states) - 1 else self._body.norm(found)

    def _answer(self, state: Tensor) -> Answer:
        shares = (self._model.lm_head.weight[self._first] @ state).softmax(-1)
        share, choice = shares.max(-1)
        return Answer(int(choice), float(share))


def learn(exits: Exits, parameters: Sequence[Tensor], rows: Sequence[Row], say: Say) -> None:
    """Every row once, in an order that is drawn."""
    order = random.Random(1).sample(range(len(rows)), len(rows))
    batches = [order[first : first + BATCH_ROWS] for first in range(0, len(order), BATCH_ROWS)]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    warm = max(1, round(WARM_UP * len(batches)))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warm, (len(batches) - step) / max(1, len(batches) - warm)),
    )
    for number, batch in enumerate(batches, start=1):
        loss = exits.loss(*_padded([rows[each] for each in batch]))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        say("learn to leave early", number, len(batches))


def _padded(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Ids, and labels of the answers alone; short rows end with ids that no row looks at."""
    longest = max(len(row["prompt"]) + len(row["answer"]) for row in rows)
    ids, labels = [], []
    for row in rows:
        whole = torch.tensor([*row["prompt"], *row["answer"]])
        label = whole.clone()
        label[: len(row["prompt"])] = IGNORED
        room = (0, longest - len(whole))
        ids.append(pad(whole, room))
        labels.append(pad(label, room, value=IGNORED))
    return torch.stack(ids), torch.stack(labels)


def least_confidence(answers: Sequence[Sequence[Answer]], rows: Sequence[Row]) -> float:
    """The least one whose first confident exits lose no more than `MOST_VALID_POINTS`."""
    last = sum(each[-1].choice == row["choice"] for each, row in zip(answers, rows, strict=True))
    for confidence in CONFIDENCES:
        right = sum(
            each[leaves_at(each, confidence)].choice == row["choice"]
            for each, row in zip(answers, rows, strict=True)
        )
        if right >= last - MOST_VALID_POINTS * len(rows):
            return confidence
    return CONFIDENCES[-1]


def leaves_at(answers: Sequence[Answer], confidence: float) -> int:
    """Place of the first confident exit, or of the last one."""
    confident = (place for place, each in enumerate(answers) if each.confidence >= confidence)
    return next(confident, len(answers) - 1)


def time_rows(
    exits: Exits, whole: Exits, rows: Sequence[Row], confidence: float, say: Say
) -> dict[str, list[float]]:
    """Seconds of each row, with exits and without, in turn; each first of two."""
    found: dict[str, list[float]] = {"adaptive": [], "whole": []}
    sides: list[tuple[str, Exits, float]] = [
        ("adaptive", exits, confidence),
        ("whole", whole, CONFIDENCES[-1]),
    ]
    for number, row in enumerate(rows, start=1):
        for name, side, least in sides if number % 2 else reversed(sides):
            started = perf_counter()
            side.first_confident(row["prompt"], least)
            found[name].append(perf_counter() - started)
        say("answer with exits and without", number, len(rows))
    return found


def _splits(request: Mapping[str, Any], tokenizer: ChatTokenizer) -> Iterator[list[Row]]:
    for split, most in zip(("train", "valid", "test"), request["rows"], strict=True):
        file = Path(request["dataset"]) / f"{split}.jsonl"
        yield list(_rows(file, request["choices"], tokenizer))[:most]


def _rows(file: Path, choices: Sequence[str], tokenizer: ChatTokenizer) -> Iterator[Row]:
    """Prompts and answers as token ids, with the answer's place among the choices."""
    for line in file.read_text(encoding="utf-8").splitlines():
        *turns, last = json.loads(line)["messages"]
        yield {
            "prompt": list(tokenizer.encode_prompt(turns)),
            "answer": list(tokenizer.encode_answer(last["content"])),
            "choice": choices.index(last["content"]),
        }


def _all_answers(exits: Exits, rows: Sequence[Row], say: Say) -> list[list[Answer]]:
    found = []
    for number, row in enumerate(rows, start=1):
        found.append(exits.answers(row["prompt"]))
        say("answer at every exit", number, len(rows))
    return found


def _right(answers: Sequence[Sequence[Answer]], rows: Sequence[Row]) -> list[list[bool]]:
    """By exit, whether each row's answer is the true one."""
    return [
        [each[place].choice == row["choice"] for each, row in zip(answers, rows, strict=True)]
        for place in range(len(answers[0]))
    ]


def run(request: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """All of it.

    Raises:
        SystemExit: Choices begin alike.
    """
    folder, choices = Path(request["model"]), request["choices"]
    tokenizer = ChatTokenizer.load(folder)
    firsts = [tokenizer.encode_answer(choice)[0] for choice in choices]
    if len(set(firsts)) < len(firsts):
        raise SystemExit("choices begin alike: the first token does not decide")
    train, valid, test = _splits(request, tokenizer)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    last = int(model.config.num_hidden_layers)
    exits, whole = Exits(model, [*request["exits"], last], firsts), Exits(model, [last], firsts)
    before = _right(_all_answers(exits, test, say), test)
    started = perf_counter()
    learn(exits, list(model.train().parameters()), train, say)
    seconds = perf_counter() - started
    model.eval()
    answers = _all_answers(exits, test, say)
    confidence = least_confidence(_all_answers(exits, valid, say), valid)
    timed = test[: request["timed"]]
    alone = [exits.first_confident(row["prompt"], confidence)[0] for row in timed]
    return {
        "layers": exits.layers,
        "untrained": before,
        "trained": _right(answers, test),
        "confidence": confidence,
        "left": [exits.layers[leaves_at(each, confidence)] for each in answers],
        "same": sum(
            choice == each[leaves_at(each, confidence)].choice
            for choice, each in zip(alone, answers, strict=False)
        ),
        "train_seconds": seconds,
        "seconds": time_rows(exits, whole, timed, confidence, say),
    }


def main() -> None:
    """See the module."""
    request, result = map(Path, sys.argv[1:])

    def say(phase: str, done: int, total: int) -> None:
        print(json.dumps({"phase": phase, "done": done, "total": total}), flush=True)

    found = run(json.loads(request.read_text(encoding="utf-8")), say)
    result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
