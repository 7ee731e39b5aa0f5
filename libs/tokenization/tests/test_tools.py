"""Tools go to a model by its own template, and how it writes calls is known from it."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.tool_templates import (
    ARGUMENTS_FIRST,
    DEEPSEEK,
    FAMILIES,
    HERMES,
    LLAMA,
    MISTRAL,
    MISTRAL_NEW,
    SPECIAL,
)
from modelmill_tokenization import ChatTokenizer, Function, Turn

MakeFolder = Callable[..., Path]
WEATHER: Function = {
    "name": "get_weather",
    "description": "Says how the weather is. Übrigens: <b>",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Where; 价格"}},
        "required": ["city"],
    },
}
CLOCK: Function = {
    "name": "clock",
    "description": "Tells the time.",
    "parameters": {
        "type": "object",
        "properties": {"zone": {"type": "integer", "description": "Hours from UTC"}},
    },
}
QUESTION: Turn = {"role": "user", "content": "How is the weather in Zürich?"}
CALL: Turn = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "a1b2c3d4e", "name": "get_weather", "arguments": '{"city": "Zürich \\"Nord\\""}'}
    ],
}
RESULT: Turn = {"role": "tool", "content": '{"sun": true}', "tool_call_id": "a1b2c3d4e"}


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ChatTokenizer]:
    """The tokenizer of a family, by its template."""

    @cache
    def of(template: str) -> ChatTokenizer:
        return ChatTokenizer.load(make_family(tmp_path_factory.mktemp("family"), template))

    return of


def make_family(folder: Path, template: str) -> Path:
    return make_tiny_llama(folder, chat_template=template, special=SPECIAL[template])


@pytest.mark.parametrize(
    ("template", "opening", "between", "closing"),
    [
        (HERMES, "<tool_call>", "</tool_call>\n<tool_call>", "</tool_call>"),
        (ARGUMENTS_FIRST, "<tool_call>", "</tool_call> \n<tool_call>", "</tool_call>"),
        (LLAMA, "", None, ""),
        (MISTRAL, "[TOOL_CALLS] [", ",", "]"),
        (MISTRAL_NEW, "[TOOL_CALLS]", "[TOOL_CALLS]", ""),
        (
            DEEPSEEK,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>",
            "```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
            "```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        ),
    ],
    ids=list(FAMILIES),
)
def test_how_calls_are_written_is_found_in_the_template(
    family: Callable[[str], ChatTokenizer],
    template: str,
    opening: str,
    between: str | None,
    closing: str,
) -> None:
    found = family(template).tool_format

    assert found is not None
    assert (found.opening, found.between, found.closing) == (opening, between, closing)
    keys = {
        LLAMA: ("name", "parameters", ""),
        MISTRAL_NEW: ("", "", "[ARGS]"),
        DEEPSEEK: ("", "", "```json"),
    }.get(template, ("name", "arguments", ""))
    assert (found.name_key, found.arguments_key, found.to_arguments) == keys
    assert found.shape.arguments_as_text == (template == DEEPSEEK)
    assert found.also_opens == (("<|python_tag|>",) if template == LLAMA else ())


@pytest.mark.parametrize("template", FAMILIES.values(), ids=list(FAMILIES))
def test_the_frame_makes_the_turn_that_the_template_writes(
    family: Callable[[str], ChatTokenizer], template: str
) -> None:
    tokenizer = family(template)
    assert tokenizer.tool_format is not None
    before, behind = tokenizer.tool_format.around_arguments("get_weather")
    call: Turn = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "probe0001", "name": "get_weather", "arguments": '{"city": "Rom"}'}],
    }

    rendered = tokenizer.render([QUESTION, call], add_generation_prompt=False, tools=[WEATHER])

    assert f'{before}{{"city": "Rom"}}{behind}' in rendered


def test_special_tokens_of_calls_have_marks_and_others_have_none(
    family: Callable[[str], ChatTokenizer],
) -> None:
    hermes, mistral = family(HERMES), family(MISTRAL)
    assert mistral.tool_format is not None
    opening = mistral.tool_format.opening

    assert hermes.tool_marks.by_id == {}
    assert list(mistral.tool_marks.by_id) == mistral.encode("[TOOL_CALLS]")
    marked = mistral.tool_marks.mark(opening)
    assert len(marked) == len(" [") + 1
    assert mistral.tool_marks.unmark(marked) == opening


@pytest.mark.parametrize(
    "template",
    ["{% for message in messages %}{{ message.content }}{% endfor %}", "{{ messages[9].content }}"],
)
def test_a_template_that_ignores_tools_is_not_given_any(
    tmp_path: Path, make_folder: MakeFolder, template: str
) -> None:
    tokenizer = ChatTokenizer.load(make_folder(tmp_path, template))

    assert tokenizer.tool_format is None
    with pytest.raises(InvalidInputError, match="ignores tools"):
        tokenizer.encode_prompt([QUESTION], [WEATHER])


def test_a_template_of_its_own_for_tools_is_used_when_there_are_some(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    folder = make_folder(tmp_path, None)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = [
        {"name": "default", "template": "plain {{ messages[0].content }}"},
        {"name": "tool_use", "template": HERMES},
    ]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = ChatTokenizer.load(folder)

    plain = tokenizer.render([QUESTION], add_generation_prompt=True)
    with_tools = tokenizer.render([QUESTION], add_generation_prompt=True, tools=[WEATHER])

    assert plain == f"plain {QUESTION['content']}"
    assert "get_weather" in with_tools


@pytest.mark.parametrize("arguments", ["{", "[1]", "1", "[" * 100_000])
def test_arguments_that_are_no_object_are_refused(
    family: Callable[[str], ChatTokenizer], arguments: str
) -> None:
    call: Turn = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "a", "name": "clock", "arguments": arguments}],
    }
    with pytest.raises(InvalidInputError, match="arguments of a call of clock"):
        family(HERMES).encode_prompt([QUESTION, call], [CLOCK])


def test_what_a_template_refuses_of_calls_is_the_callers_to_change(
    family: Callable[[str], ChatTokenizer],
) -> None:
    tools: list[Function] = [WEATHER]
    two = CALL | {"tool_calls": [*CALL["tool_calls"]] * 2}

    with pytest.raises(InvalidInputError, match="one call at once"):
        family(LLAMA).encode_prompt([QUESTION, two, RESULT], tools)
