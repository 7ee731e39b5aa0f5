"""grammar.valid and grammar.speed: answers that must be JSON of a schema, 8 in flight.

grammar.valid. Value: the share of 200 answers, each to a schema of its own, that parse, are right
by `jsonschema` and end with "stop" within 96 new tokens, at temperature 1. No floor.

grammar.speed. Value: generated tokens / seconds of such answers, compiling the grammars included.
Denominator (the floor): the same engine, prompts and limit without a schema. Both are asked as the
use case of inference asks, in a process beside the engine's; no gRPC, no gateway. SmolLM2-135M,
int8, greedy. A round has schemas that no round before had, so that no compiled grammar is at hand.
Rival: none.
"""

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from tests.bench.built_model import built_model
from tests.bench.figures import Entry, Figures, Goal, Line
from tests.bench.harness import Group, Run
from tests.bench.worker import Worker, running

VALID, SPEED = "grammar.valid", "grammar.speed"
RATE = "tokens/s"
IN_FLIGHT = 8
NEW_TOKENS = 96
ANSWERS = 200
REQUESTS = 24
SECONDS = {VALID: 60.0, SPEED: 90.0}
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
        if SPEED in run.wanted:
            lines.append(await _speed(run, engine))
        return lines


async def _ask(
    engine: Worker, numbers: Sequence[int], *, held: bool, temperature: float
) -> dict[str, Any]:
    return await engine.ask(
        prompts=[prompt(number) for number in numbers],
        schemas=[json.dumps(schema(number)) for number in numbers] if held else None,
        in_flight=IN_FLIGHT,
        max_new_tokens=NEW_TOKENS,
        temperature=temperature,
    )


async def _valid(run: Run, engine: Worker) -> Line:
    numbers = range(run.pick(ANSWERS, 24))
    answer = await _ask(engine, numbers, held=True, temperature=1.0)
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
        note=f"{right} of {len(numbers)} schemas; {answer['tokens'] / len(numbers):.0f} tokens "
        f"an answer of {NEW_TOKENS} at most",
    )


async def _speed(run: Run, engine: Worker) -> Line:
    many = run.pick(REQUESTS, IN_FLIGHT)
    fresh = {True: count(10_000), False: count(10_000)}

    async def turn(*, held: bool) -> Figures:
        numbers = [next(fresh[held]) for _ in range(many)]
        answer = await _ask(engine, numbers, held=held, temperature=0.0)
        rate = answer["tokens"] / answer["seconds"]
        return {RATE: rate, "tokens an answer": answer["tokens"] / many}

    contestants = {"ours": lambda: turn(held=True), "floor": lambda: turn(held=False)}
    seconds = SECONDS[SPEED]
    rounds = await run.interleaved(SPEED, contestants, seconds=seconds, steady=[RATE])
    note = (
        f"{many} new schemas a round; free {rounds.median('floor', RATE):.0f} tokens/s; "
        f"tokens an answer {rounds.median('ours', 'tokens an answer'):.0f} and "
        f"{rounds.median('floor', 'tokens an answer'):.0f}"
    )
    against = "the same engine, free text"
    return rounds.line(SPEED, RATE, unit=RATE, against=against, goal=SPEED_GOAL, note=note)


GROUP = Group((VALID, SPEED), measure, PREPARE_SECONDS + sum(SECONDS.values()))
