"""An answer that must be a call is one, whatever the model would rather say."""

import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate
from modelmill_inference.adapters.openvino import EXACT, OpenVinoKind, PipelineOptions
from modelmill_inference.admit_requests import EngineQueues
from modelmill_inference.answer_writer import AnswerWriter
from modelmill_inference.count_tokens import CountTokens
from modelmill_inference.domain.generation import EngineCannotError, TokenPiece
from modelmill_inference.domain.grammar.constrained_output import constrain
from modelmill_inference.domain.sampling import OutputConstraint, SamplingOptions
from modelmill_inference.domain.tool_calls import ParsedToolCall
from modelmill_inference.forced_call import forced_call
from modelmill_inference.generate_text import GenerateCommand, GenerateText
from modelmill_inference.load_version import LoadedVersion
from modelmill_inference.render_prompt import Prompt
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.in_process_tokenizers import InProcess
from modelmill_testkit.models import CHAT_TEMPLATE, make_tiny_llama
from modelmill_testkit.tool_templates import FAMILIES, HERMES, MISTRAL_NEW, SPECIAL
from modelmill_tokenization import ChatTokenizer, Function

from .fakes import LIMITS, PATIENT
from .grammar_texts import drawn

Family = Callable[[str], ChatTokenizer]
TREE: dict[str, Any] = {
    "type": "object",
    "properties": {"leaf": {"$ref": "#/$defs/leaf"}, "more": {"type": "boolean"}},
    "required": ["leaf"],
    "additionalProperties": False,
    "$defs": {"leaf": {"type": "string", "maxLength": 5}},
}
TOOLS: tuple[Function, ...] = (
    {"name": "plant", "description": "Plants.", "parameters": TREE},
    {
        "name": "count",
        "description": "Counts.",
        "parameters": {
            "properties": {"leaf": {"$ref": "#/$defs/leaf"}},
            "required": ["leaf"],
            "$defs": {"leaf": {"type": "integer", "minimum": 3, "maximum": 42}},
        },
    },
    {"name": "rest", "description": "Rests.", "parameters": {"type": "object", "properties": {}}},
)
SMALL: tuple[Function, ...] = (
    {"name": "p", "description": "", "parameters": {"properties": {"n": {"type": "integer"}}}},
    {"name": "q", "description": "", "parameters": {"properties": {"b": {"type": "boolean"}}}},
)
"""For a model of 512 tokens, each of a letter or two."""
SCHEMAS = {tool["name"]: tool["parameters"] for tool in (*TOOLS, *SMALL)}


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    @cache
    def of(template: str) -> ChatTokenizer:
        folder = tmp_path_factory.mktemp("family")
        return ChatTokenizer.load(
            make_tiny_llama(
                folder, chat_template=template, special=SPECIAL.get(template, SPECIAL[HERMES])
            )
        )

    return of


def check(calls: list[ParsedToolCall], text: str, finish_reason: str | None) -> str:
    """That it is one good call and nothing else; of which function."""
    (call,) = calls
    validate(json.loads(call.arguments), SCHEMAS[call.name])
    assert (text, finish_reason) == ("", "tool_calls")
    return call.name


OFFERS = [
    pytest.param(template, tools, id=f"{name}, {len(tools)} from {tools[0]['name']}")
    for name, template in {**FAMILIES, "no tools": CHAT_TEMPLATE}.items()
    for tools in (TOOLS, TOOLS[:1], TOOLS[2:])
    # Its calls have a special token behind the name; see below.
    if template != MISTRAL_NEW or len(tools) == 1
]


@pytest.mark.parametrize(("template", "offered"), OFFERS)
def test_whatever_the_form_allows_is_one_call_with_arguments_by_its_schema(
    family: Family, template: str, offered: tuple[Function, ...]
) -> None:
    tokenizer = family(template)
    demanded = forced_call(tokenizer, offered)
    form = constrain(demanded.constraint, 400)
    called = set()
    for seed in range(12):
        tokens = tokenizer.encode(drawn(form.grammar, random.Random(seed)))
        names = [tool["name"] for tool in offered]
        writer = AnswerWriter(tokenizer, (), names, (demanded.before, demanded.behind))
        written = [writer.write(TokenPiece((token,))) for token in tokens]
        written.append(writer.write(TokenPiece((), "stop")))
        calls = [call for piece in written for call in piece.calls]
        text = "".join(piece.text for piece in written)
        called.add(check(calls, text, written[-1].finish_reason))

    assert called == {tool["name"] for tool in offered}


def test_a_function_is_not_left_open_where_a_special_token_comes_behind_its_name(
    family: Family,
) -> None:
    with pytest.raises(EngineCannotError, match="by its name"):
        forced_call(family(MISTRAL_NEW), TOOLS)


class OneVersion:
    """Lends a real engine to the use case."""

    def __init__(self, version: LoadedVersion) -> None:
        self._version = version

    @asynccontextmanager
    async def lease(
        self, tenant: str, version_id: str, deadline: float | None = None
    ) -> AsyncIterator[LoadedVersion]:
        yield self._version


@asynccontextmanager
async def opened(folder: Path, tokenizer: ChatTokenizer) -> AsyncIterator[LoadedVersion]:
    kind = OpenVinoKind(PipelineOptions(properties=EXACT))
    engine = kind.engine_for(folder, tokenizer.eos_ids)
    await engine.load()
    try:
        yield LoadedVersion(
            "mv-1", "acme", "openvino", engine, tokenizer, InProcess(tokenizer), LIMITS, 0.0
        )
    finally:
        await engine.close()


def command(choice: str, seed: int, **options: Any) -> GenerateCommand:
    given = {"temperature": 2.0, "seed": seed, "stop": ("a", "{"), "answers": 2} | options
    turn: Any = {"role": "user", "content": "go"}
    prompt = Prompt((turn,), tools=SMALL, tool_choice=choice)
    return GenerateCommand("acme", "mv-1", prompt, SamplingOptions(**given))


@pytest.mark.heavy
@pytest.mark.parametrize("template", [HERMES, CHAT_TEMPLATE], ids=["tools", "no tools"])
async def test_a_real_engine_calls_as_it_is_told(
    family: Family, openvino_folder: Path, template: str
) -> None:
    # Random weights, so that nothing but the form makes it call.
    async with opened(openvino_folder, family(template)) as version:
        generate = GenerateText(OneVersion(version), EngineQueues(PATIENT))
        for choice in ("required", "p", "q"):
            for seed in range(2):
                async with aclosing(generate(command(choice, seed))) as parts:
                    told = [part async for part in parts]
                for index in (0, 1):
                    own = [part for part in told if part.index == index]
                    calls = [call for part in own for call in part.calls]
                    end = own[-1].end
                    text = "".join(part.text for part in own)
                    name = check(calls, text, end.finish_reason if end else None)
                    assert choice in ("required", name)

        form = OutputConstraint("regex", "a")
        with pytest.raises(InvalidInputError, match="no other form"):
            await anext(generate(command("q", 0, constraint=form)))
        with pytest.raises(InvalidInputError, match=r"needs \d+ tokens"):
            await anext(generate(command("q", 0, max_new_tokens=4)))


@pytest.mark.heavy
@pytest.mark.parametrize("choice", ["none", "auto", "required", "q"])
async def test_a_prompt_is_counted_as_its_answer_counts_it(
    openvino_folder: Path, family: Family, choice: str
) -> None:
    async with opened(openvino_folder, family(HERMES)) as version:
        asked = command(choice, 1, max_new_tokens=100)
        generate = GenerateText(OneVersion(version), EngineQueues(PATIENT))
        counted = await CountTokens(OneVersion(version))("acme", "mv-1", asked.prompt)
        async with aclosing(generate(asked)) as parts:
            ends = [part.end async for part in parts if part.end]

    assert counted.version_id == "mv-1"
    assert counted.tokens == ends[0].prompt_tokens > 0
