"""Calls are parted from text, however the answer is cut, and nothing of it is lost."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_inference.domain.tool_calls import MAX_CALL_CHARACTERS, ToolCallParser, new_call_id
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
from modelmill_tokenization import ChatTokenizer
from modelmill_tokenization.text_stream import TextStream

Family = Callable[[str], ChatTokenizer]
NAMES = ("look", "get_weather")
ROME = ("get_weather", {"city": "Rom", "days": [1, {"a": "}"}]})
LOOK: tuple[str, dict[str, Any]] = ("look", {})


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    @cache
    def of(template: str) -> ChatTokenizer:
        folder = tmp_path_factory.mktemp("family")
        return ChatTokenizer.load(
            make_tiny_llama(folder, chat_template=template, special=SPECIAL[template])
        )

    return of


def parse(
    tokenizer: ChatTokenizer, answer: str, sizes: list[int] | None = None
) -> tuple[str, list[tuple[str, Any]]]:
    """Text and calls of an answer that an engine gives in pieces of so many tokens, or at once."""
    assert tokenizer.tool_format is not None
    marks = tokenizer.tool_marks
    parser = ToolCallParser(tokenizer.tool_format, marks, NAMES)
    stream = TextStream(tokenizer, marks.by_id)
    ids = tokenizer.encode(answer)
    parsed, start = [], 0
    for size in [len(ids)] if sizes is None else [*sizes, *[1] * len(ids)]:
        parsed.append(parser.push(stream.push(ids[start : start + size])))
        start += size
    parsed += [parser.push(stream.finish()), parser.finish()]
    calls = [(call.name, json.loads(call.arguments)) for it in parsed for call in it.calls]
    return "".join(it.text for it in parsed), calls


def said(tokenizer: ChatTokenizer, *calls: tuple[str, Any]) -> str:
    """The turn that the model's own template makes of calls."""
    made = [
        {"id": f"call{number:05}", "name": name, "arguments": json.dumps(arguments)}
        for number, (name, arguments) in enumerate(calls)
    ]
    messages: list[Any] = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": made},
    ]
    rendered = tokenizer.render(messages, add_generation_prompt=False)
    prompt = tokenizer.render(messages[:1], add_generation_prompt=True)
    assert rendered.startswith(prompt)
    return rendered.removeprefix(prompt)


@pytest.mark.parametrize("template", FAMILIES.values(), ids=list(FAMILIES))
def test_what_a_template_writes_of_a_call_is_read_as_that_call(
    family: Family, template: str
) -> None:
    tokenizer = family(template)

    assert parse(tokenizer, said(tokenizer, ROME)) == ("", [ROME])
    if template != LLAMA:
        assert parse(tokenizer, said(tokenizer, ROME, LOOK)) == ("", [ROME, LOOK])


@pytest.mark.parametrize(
    ("template", "answer", "text", "calls"),
    [
        (HERMES, '<tool_call>{"name":"look"}</tool_call>', "", [LOOK]),
        (HERMES, '<tool_call>{"arguments":"{}","name":"look"}</tool_call>', "", [LOOK]),
        (HERMES, 'One <tool_call>{"name": "look"}\n</tool_call>\n two', "One \n two", [LOOK]),
        (HERMES, '\n<tool_call>{"name": "look"} and no closing', " and no closing", [LOOK]),
        (ARGUMENTS_FIRST, 'So <tool_call> {"name": "look"}</tool_call>', "So ", [LOOK]),
        (LLAMA, ' {"name": "look", "parameters": {}} ', "", [LOOK]),
        (LLAMA, '<|python_tag|>{"name": "look", "parameters": {}}', "", [LOOK]),
        (LLAMA, 'Sure: <|python_tag|>{"name": "look"}', "Sure: ", [LOOK]),
        (MISTRAL, '[TOOL_CALLS][{"name": "look"},{"name": "look"}]', "", [LOOK, LOOK]),
        (
            MISTRAL_NEW,
            "Yes.[TOOL_CALLS]look[ARGS] {}[TOOL_CALLS]look[ARGS]{}",
            "Yes.",
            [LOOK, LOOK],
        ),
    ],
)
def test_models_may_space_and_order_calls_as_they_like(
    family: Family, template: str, answer: str, text: str, calls: list[Any]
) -> None:
    assert parse(family(template), answer) == (text, calls)


@pytest.mark.parametrize(
    ("template", "answer"),
    [
        (HERMES, '<tool_call>{"name": "look", oops}</tool_call>'),
        (HERMES, '<tool_call>{"name": "look"'),
        (HERMES, "<tool_call>look()</tool_call> and more"),
        (HERMES, '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>'),
        (HERMES, '<tool_call>{"name": "look", "arguments": [1]}</tool_call>'),
        (HERMES, '<tool_call>{"name": "look", "arguments": {"a": NaN}}</tool_call>'),
        (HERMES, '<tool_call>{"name": 7}</tool_call>'),
        (HERMES, "<tool_cal"),
        (HERMES, "a < b, <tool, \n"),
        (ARGUMENTS_FIRST, '<tool_call>[{"name": "look"}]</tool_call>'),
        (LLAMA, '{"name": "look", "parameters": 1}'),
        (LLAMA, '{"an": "answer in JSON"} \n'),
        (LLAMA, 'It is {"name": "look", "parameters": {}}'),
        (LLAMA, '<|python_tag|>brave_search.call(query="x")'),
        (MISTRAL, '[TOOL_CALLS] {"name": "look"}'),
        (MISTRAL_NEW, "[TOOL_CALLS]look {}"),
        (DEEPSEEK, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look\n{}"),
    ],
)
def test_what_is_no_call_comes_out_as_the_text_that_it_was(
    family: Family, template: str, answer: str
) -> None:
    assert parse(family(template), answer) == (answer, [])


def test_a_broken_call_takes_no_good_one_with_it(family: Family) -> None:
    good = '<tool_call>{"name": "look"}</tool_call>'
    broken = '<tool_call>{"name": "lo'

    assert parse(family(HERMES), f"{good} {broken}") == (f" {broken}", [LOOK])
    assert parse(family(HERMES), f"{broken}{good}") == (broken, [LOOK])
    assert parse(family(HERMES), f"{good}{broken}{good}") == (broken, [LOOK, LOOK])
    listed = '[TOOL_CALLS] [{"name": "look"}, {"name": '
    assert parse(family(MISTRAL), listed) == (', {"name": ', [LOOK])


def test_a_special_token_counts_and_its_spelling_does_not(family: Family) -> None:
    tokenizer = family(MISTRAL)
    assert tokenizer.tool_format is not None
    parser = ToolCallParser(tokenizer.tool_format, tokenizer.tool_marks, NAMES)

    escaped = parser.push('[TOOL_CALLS] [{"name": "look"}]')

    assert (escaped.text, escaped.calls) == ('[TOOL_CALLS] [{"name": "look"}]', [])


def test_text_is_not_held_longer_than_it_may_become_a_call(family: Family) -> None:
    tokenizer = family(HERMES)
    assert tokenizer.tool_format is not None
    parser = ToolCallParser(tokenizer.tool_format, tokenizer.tool_marks, NAMES)

    assert parser.push("I look <to").text == "I look "
    assert parser.push("ol_").text == ""
    assert parser.push("box>").text == "<tool_box>"
    assert parser.push('<tool_call>{"name": "look", "arguments": {}').calls == []
    assert [call.name for call in parser.push("}").calls] == ["look"]


def test_half_a_surrogate_pair_in_arguments_is_told_as_it_was_spelled(family: Family) -> None:
    tokenizer = family(HERMES)
    assert tokenizer.tool_format is not None
    parser = ToolCallParser(tokenizer.tool_format, tokenizer.tool_marks, NAMES)

    escaped = '<tool_call>{"name": "look", "arguments": {"a": "\\ud800", "b": "ü"}}</tool_call>'
    (call,) = parser.push(escaped).calls

    assert json.loads(call.arguments.encode()) == {"a": "\ud800", "b": "ü"}


def test_a_text_of_beginnings_is_read_in_a_time_that_grows_with_it(family: Family) -> None:
    beginnings = '<tool_call>{"a' * 20_000

    assert parse(family(HERMES), beginnings) == (beginnings, [])
    assert len(beginnings) > MAX_CALL_CHARACTERS


def test_ids_are_what_every_template_takes() -> None:
    ids = {new_call_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(len(call_id) == 9 and call_id.isalnum() for call_id in ids)


PIECES = {
    HERMES: ["<tool_call>", "</tool_call>", "<tool_", "\n"],
    ARGUMENTS_FIRST: ["<tool_call>", "</tool_call>", "\n"],
    LLAMA: ["<|python_tag|>", "\n"],
    MISTRAL: ["[TOOL_CALLS]", "[", "]", ", "],
    MISTRAL_NEW: ["[TOOL_CALLS]", "[ARGS]", "look"],
    DEEPSEEK: [
        *("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "function<｜tool▁sep｜>"),
        *("look\n```json\n", "\n```<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"),
    ],
}
COMMON = ['{"name": "look", "arguments": {}}', '{"name": "look", "parameters": {}}', "{}", "{", "}"]
COMMON += ["text ", " ", "é😀", '"', "\\", "价"]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("template", FAMILIES.values(), ids=list(FAMILIES))
def test_any_cut_gives_the_same_and_without_calls_all_is_text(
    family: Family, template: str, data: st.DataObject
) -> None:
    pieces = st.lists(st.sampled_from([*PIECES[template], *COMMON]), max_size=14)
    answer = "".join(data.draw(pieces))
    sizes = data.draw(st.lists(st.integers(0, 6), max_size=20))
    tokenizer = family(template)

    text, calls = parse(tokenizer, answer)

    assert parse(tokenizer, answer, sizes) == (text, calls)
    if not calls:
        assert text == answer
