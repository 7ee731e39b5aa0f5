"""grammar.valid, .speed and .new: answers that must be JSON of a schema, 8 in flight.

grammar.valid. Value: the share of 200 answers, each to a schema of its own, that parse, are right
by `jsonschema` and end with "stop" within 96 new tokens, at temperature 1. No floor.

grammar.speed. Value: generated tokens / seconds of answers to schemas that were asked for before,
by prompts that were not; both parts of an answer and all else of it included. Denominator (the
floor): the same engine, prompts and, answer by answer, the same number of tokens, without a schema.
Both are asked as the use case of inference asks, in a process beside the engine's; no gRPC, no
gateway. SmolLM2-135M, int8, greedy. Rival: none.

grammar.new. The same with schemas that nobody asked for before: each is compiled, and so is what it
leaves at the limit.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from tests.bench.built_model import built_model
from tests.bench.figures import Entry, Figures, Goal, Line
from tests.bench.harness import Group, Run
from tests.bench.worker import Worker, running

VALID, SPEED, NEW = "grammar.valid", "grammar.speed", "grammar.new"
RATE, EACH = "tokens/s", "tokens an answer"
IN_FLIGHT = 8
NEW_TOKENS = 96
ANSWERS = 200
REQUESTS = 24
FIRST = {SPEED: 10_000, NEW: 500_000}
"""Numbers of prompts, and of schemas that are new: no other entry has them."""
SECONDS = {VALID: 60.0, SPEED: 90.0, NEW: 90.0}
PREPARE_SECONDS = 10.0
VALID_GOAL = Goal(1.0, at_least=True, of_value=True)
SPEED_GOAL = Goal(0.9, at_least=True)


def schema(number: int) -> dict[str, Any]:
    """One of eight sorts, with names that no other number has."""
    text: dict[str, Any] = {"type": "string"}
    node: dict[str, Any] = {"$ref": "#"}
    values: Sequence[dict[str, Any]] = (
        text,
        {"type": "array", "items": text},
        {"type": "integer", "minimum": -number, "maximum": number * 7},
        {"type": "object", "properties": {"day": {"type": "string", "format": "date"}, "of": text}},
        {"anyOf": [text, {"type": "null"}, {"type": "number", "minimum": 0}]},
        {"enum": [f"kind {number + one}" for one in range(5)]},
        {"type": "array", "items": node, "maxItems": 3},
        {"type": "string", "pattern": "^[A-Z][a-z]+( [A-Z][a-z]+)*$"},
    )
    properties = {"title": text, f"value_{number}": values[number % len(values)]}
    return {"type": "object", "properties": properties, "required": [*properties]}


def prompt(number: int) -> str:
    """Ends in no few words, so that there is something to hold."""
    return f"Write a long story about harbour {number} as JSON with all the details you can find."


def is_valid(text: str, wanted: dict[str, Any]) -> bool:
    """Whether the text is JSON and right by the schema."""
    try:
        Draft202012Validator(wanted, format_checker=FormatChecker()).validate(json.loads(text))
    except (ValueError, ValidationError):
        return False
    return True


async def measure(run: Run) -> list[Line]:
    """Both on one engine."""
    model = await built_model(run)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(running("held_engine", str(model.int8)))
        lines: list[Line] = []
        if VALID in run.wanted:
            run.say(VALID)
            lines.append(await _valid(run, engine))
        for name in (SPEED, NEW):
            if name in run.wanted:
                lines.append(await _speed(run, engine, name))
        return lines


async def _ask(
    engine: Worker,
    numbers: Sequence[int],
    schemas: Sequence[int] | None,
    limits: Sequence[int],
    *,
    temperature: float,
) -> dict[str, Any]:
    """Each number is a prompt's or a schema's."""
    return await engine.ask(
        prompts=[prompt(number) for number in numbers],
        schemas=schemas and [json.dumps(schema(number)) for number in schemas],
        in_flight=IN_FLIGHT,
        max_new_tokens=list(limits),
        temperature=temperature,
    )


async def _valid(run: Run, engine: Worker) -> Line:
    numbers = range(run.pick(ANSWERS, 24))
    limits = [NEW_TOKENS] * len(numbers)
    answer = await _ask(engine, numbers, numbers, limits, temperature=1.0)
    rows = zip(numbers, answer["texts"], answer["reasons"], strict=True)
    right = sum(reason == "stop" and is_valid(text, schema(n)) for n, text, reason in rows)
    share = right / len(numbers)
    return Entry(
        id=VALID,
        value=share,
        unit="of answers",
        against="jsonschema",
        ratio=share,
        goal=VALID_GOAL.text("of answers"),
        met=VALID_GOAL.is_met(value=share, ratio=share),
        ci95=(share, share),
        note=f"{right} of {len(numbers)} schemas; {_figures(answer)[EACH]:.0f} tokens "
        f"an answer of {NEW_TOKENS} at most",
    )


async def _speed(run: Run, engine: Worker, name: str) -> Line:
    many = run.pick(REQUESTS, IN_FLIGHT)
    fresh = count(FIRST[name])
    numbers: list[int] = []
    lengths: list[int] = []

    async def held() -> Figures:
        numbers[:] = [next(fresh) for _ in range(many)]
        schemas = numbers if name == NEW else range(many)
        limits = [NEW_TOKENS] * many
        answer = await _ask(engine, numbers, schemas, limits, temperature=0.0)
        lengths[:] = answer["tokens"]
        return _figures(answer)

    async def free() -> Figures:
        return _figures(await _ask(engine, numbers, None, lengths, temperature=0.0))

    rounds = await run.interleaved(
        name, {"ours": held, "floor": free}, seconds=SECONDS[name], steady=[RATE]
    )
    note = (
        f"{many} {'new schemas' if name == NEW else 'prompts'} a round; free "
        f"{rounds.median('floor', RATE):.0f} tokens/s; "
        f"tokens an answer {rounds.median('ours', EACH):.0f} and "
        f"{rounds.median('floor', EACH):.0f}"
    )
    against = "the same engine, free text"
    return rounds.line(name, RATE, unit=RATE, against=against, goal=SPEED_GOAL, note=note)


def _figures(answer: Mapping[str, Any]) -> Figures:
    tokens = sum(answer["tokens"])
    return {RATE: tokens / answer["seconds"], EACH: tokens / len(answer["tokens"])}


GROUP = Group((VALID, SPEED, NEW), measure, PREPARE_SECONDS + sum(SECONDS.values()))
