"""A model whose template knows no tools is told of them in words where a call is demanded."""

import json
from pathlib import Path
from typing import Any

import pytest
from modelmill_inference.load_version import LoadedVersion
from modelmill_inference.render_prompt import Prompt, prompt_tokens
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.in_process_tokenizers import InProcess
from modelmill_testkit.models import CHAT_TEMPLATE, make_tiny_llama
from modelmill_tokenization import ChatTokenizer, Function

from .fakes import LIMITS

NO_SYSTEM = """{% for turn in messages %}{% if turn.role not in ('user', 'assistant')
or (turn.role == 'user') != loop.index0 is even %}{{ raise_exception('user and assistant, in turns')
}}{% endif %}<|im_start|>{{ turn.role }} {{ turn.content }}<|im_end|>{% endfor %}"""
WEATHER: Function = {
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
ASKED: Any = {"role": "user", "content": "Is it dry?"}
CALLED: Any = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "call00001", "name": "weather", "arguments": '{"city": "Ulm"}'},
        {"id": "call00002", "name": "weather", "arguments": '{"city": "Bonn"}'},
    ],
}
RESULTS: Any = [
    {"role": "tool", "tool_call_id": "call00001", "content": "rain"},
    {"role": "tool", "tool_call_id": "call00002", "content": "sun"},
]


async def rendered(folder: Path, template: str, *messages: Any, choice: str = "required") -> str:
    tokenizer = ChatTokenizer.load(make_tiny_llama(folder / "model", chat_template=template))
    engine: Any = None
    version = LoadedVersion(
        "mv-1", "acme", "none", engine, tokenizer, InProcess(tokenizer), LIMITS, 0.0
    )
    ids = await prompt_tokens(
        Prompt(messages, tools=(WEATHER,), tool_choice=choice), version, "acme"
    )
    return "".join(tokenizer.token_bytes(each).decode("utf-8", "ignore") for each in ids)


@pytest.mark.parametrize("choice", ["required", "weather"])
async def test_the_system_turn_tells_of_the_functions(tmp_path: Path, choice: str) -> None:
    system: Any = {"role": "system", "content": "Be brief."}

    added = await rendered(tmp_path / "a", CHAT_TEMPLATE, ASKED, choice=choice)
    joined = await rendered(tmp_path / "b", CHAT_TEMPLATE, system, ASKED, choice=choice)

    for text in (added, joined):
        assert json.dumps(WEATHER) in text
        assert text.count("system") == 1
        assert text.index("The weather of a city.") < text.index("Is it dry?")
    assert "Be brief.\n\nAnswer by calling" in joined


async def test_the_first_turn_tells_of_them_where_no_system_speaks(tmp_path: Path) -> None:
    text = await rendered(tmp_path, NO_SYSTEM, ASKED)

    assert "user Answer by calling" in text
    assert text.index("The weather of a city.") < text.index("Is it dry?")


async def test_earlier_calls_and_their_results_are_said_in_turns_that_every_template_takes(
    tmp_path: Path,
) -> None:
    text = await rendered(tmp_path, NO_SYSTEM, ASKED, CALLED, *RESULTS, choice="none")

    assert 'assistant {"name": "weather", "arguments": {"city": "Ulm"}}' in text
    assert "user Result of weather: rain\nResult of weather: sun" in text


async def test_left_to_itself_such_a_model_is_offered_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"ignores tools.* demand a call by tool_choice"):
        await rendered(tmp_path, CHAT_TEMPLATE, ASKED, choice="auto")
