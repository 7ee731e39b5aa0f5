"""Answers that must have a form, through the whole service and a real engine process."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator, FormatChecker
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill_service_kit.errors import InvalidInputError

from .support import Answer, Service, nats_and_inference
from .test_generating import figure
from .test_grammar_refusals import HOSTILE
from .test_grammar_schemas import TREE

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "mail": {"type": "string", "format": "email"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "age"],
}
SCHEMAS: list[Any] = [
    PERSON,
    TREE,
    {"type": "array", "items": PERSON},
    {"type": "string"},
    {"type": "string", "minLength": 3, "maxLength": 20},
    {"type": "string", "pattern": "^[A-Z]+-[0-9]{3}$"},
    {"type": "array", "items": {"type": "string", "format": "date"}, "minItems": 2},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "uuid"},
    {"type": "integer"},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 10},
    {"type": ["string", "null"]},
    {"enum": ["red", "green", 3, None, {"a": [1]}]},
    {"const": 'a "quoted" 价格'},
    {"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "number"}}]},
    {"additionalProperties": {"type": "string"}},
    {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": {"type": "null"}},
    {"type": "object", "properties": {name: {"type": "string"} for name in "abcd"}},
    {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
    {},
]
MAX_TOKENS = 100


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    artifact_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    folder = tmp_path_factory.mktemp("nats")
    async with nats_and_inference(folder, artifact_root) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def version(service: Service, digest: str) -> str:
    return await service.served(digest)


async def held(
    service: Service, version: str, constraint: pb.Constraint, seed: int = 1, **options: Any
) -> Answer:
    wanted = {"max_new_tokens": MAX_TOKENS, "temperature": 1.0, "seed": seed} | options
    return await service.answer(version, text="a thing, 价格", constraint=constraint, **wanted)


async def test_answers_to_twenty_schemas_are_right_beside_hostile_ones(
    service: Service, version: str
) -> None:
    restarts = figure("modelmill_engine_restarts_total")
    hostile = asyncio.gather(
        *(
            held(service, version, pb.Constraint(**{one.kind: one.text}))
            for one in HOSTILE
            if one.text
        ),
        return_exceptions=True,
    )

    answers = await asyncio.gather(
        *(
            held(service, version, pb.Constraint(json_schema=json.dumps(schema)), seed)
            for seed, schema in enumerate(SCHEMAS)
        )
    )

    for schema, answer in zip(SCHEMAS, answers, strict=True):
        validator = Draft202012Validator(schema, format_checker=FormatChecker())
        validator.validate(json.loads(answer.text))
        assert answer.end.finish_reason == "stop"
        assert answer.end.usage.completion_tokens <= MAX_TOKENS
    assert {type(refusal) for refusal in await hostile} == {InvalidInputError}
    assert figure("modelmill_engine_restarts_total") == restarts
    assert (await service.answer(version, text="x", max_new_tokens=1)).end.version_id == version


@pytest.mark.parametrize("max_tokens", [32, 40, 50, 75])
async def test_an_answer_that_comes_to_its_limit_still_ends_right(
    service: Service, version: str, max_tokens: int
) -> None:
    constraint = pb.Constraint(json_schema=json.dumps(TREE))

    answers = [
        await held(service, version, constraint, seed, max_new_tokens=max_tokens, logprobs=0)
        for seed in range(3)
    ]

    for answer in answers:
        Draft202012Validator(TREE).validate(json.loads(answer.text))
        assert answer.end.finish_reason == "stop"
        assert answer.end.usage.completion_tokens <= max_tokens


async def test_expressions_and_choices_are_kept_to(service: Service, version: str) -> None:
    pattern = r"[a-z]+@[a-z]{2,8}\.(com|org)"
    mail = await held(service, version, pb.Constraint(regex=pattern))
    choice = pb.Choices(texts=["yes", "no", "价格"])
    chosen = await held(service, version, pb.Constraint(choice=choice))

    assert re.fullmatch(pattern, mail.text)
    assert chosen.text in choice.texts


async def test_a_form_that_does_not_fit_is_refused_with_what_it_needs(
    service: Service, version: str
) -> None:
    constraint = pb.Constraint(json_schema=json.dumps(PERSON))

    with pytest.raises(InvalidInputError, match=r"needs \d+ tokens, .* leave 10"):
        await held(service, version, constraint, max_new_tokens=10)
