"""Text, ids and decoding equal those of transformers for the same folder, tools or none."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.tool_templates import DEEPSEEK, FAMILIES, SPECIAL
from modelmill_tokenization import ChatTokenizer, Function, Turn

MakeFolder = Callable[..., Path]
REFERENCE = """
import json, sys
from transformers import AutoTokenizer
answers = []
tokenizers = {}
for folder, messages, tools in json.load(sys.stdin):
    if folder not in tokenizers:
        tokenizers[folder] = AutoTokenizer.from_pretrained(folder)
    tokenizer = tokenizers[folder]
    for generate in (True, False):
        text = tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=generate)
        ids = tokenizer.encode(text, add_special_tokens=False)
        answers.append([text, ids, tokenizer.decode(ids, skip_special_tokens=True)])
json.dump(answers, sys.stdout)
"""
CONVERSATIONS: list[list[Turn]] = [
    [{"role": "user", "content": "What is 12345 + 1?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "价格是多少? 😀"}],
    [
        {"role": "user", "content": "  two  spaces\n\nand a tab\t"},
        {"role": "assistant", "content": "a <|im_end|> inside"},
        {"role": "user", "content": "<|endoftext|> ë́ 🏳️‍🌈"},
    ],
]
OWN_TEMPLATE = """{%- for message in messages %}
    {%- if message.role == 'assistant' %}
[A]{% generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}
    {%- else %}
[{{ message.role | upper }}]{{ message.content | tojson }}
    {%- endif %}
    {%- if loop.index > 8 %}{% break %}{% endif %}
{% endfor %}
{%- if add_generation_prompt %}[A]{% endif %}"""


QUESTION: Turn = {"role": "user", "content": "How is the weather in Zürich?"}
CALL: Turn = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "a1b2c3d4e", "name": "get_weather", "arguments": '{"city": "Zürich \\"Nord\\""}'}
    ],
}
RESULT: Turn = {"role": "tool", "content": '{"sun": true}', "tool_call_id": "a1b2c3d4e"}
WITH_CALLS: list[list[Turn]] = [
    [QUESTION],
    [QUESTION, CALL, RESULT],
    [QUESTION, CALL, RESULT, {"role": "assistant", "content": "Sunny."}, QUESTION],
]
TOOLS: list[Function] = [
    {
        "name": "get_weather",
        "description": "Says how the weather is. Übrigens: <b>",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Where; 价格"}},
            "required": ["city"],
        },
    },
    {
        "name": "clock",
        "description": "Tells the time.",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "integer", "description": "Hours from UTC"}},
        },
    },
]


def as_transformers_read(turn: Turn, template: str) -> dict[str, Any]:
    """The turn as somebody would write it for this template who knows what it reads."""
    message: dict[str, Any] = {"role": turn["role"], "content": turn["content"]}
    if turn["role"] == "tool":
        message |= {"tool_call_id": turn["tool_call_id"], "name": "get_weather"}
    if calls := turn.get("tool_calls"):
        (call,) = calls
        as_text = template == DEEPSEEK
        arguments = call["arguments"] if as_text else json.loads(call["arguments"])
        function = {"name": call["name"], "arguments": arguments}
        message["tool_calls"] = [{"type": "function", "id": call["id"], "function": function}]
        message["content"] = None if template == DEEPSEEK else ""
    return message


class Cases:
    """What is asked of both."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[Any], list[Any] | None]] = []
        self.ours: list[list[object]] = []

    def add(self, folder: Path, messages: list[Turn], tools: list[Function], template: str) -> None:
        tokenizer = ChatTokenizer.load(folder)
        shaped = [as_transformers_read(turn, template) for turn in messages]
        given = [{"type": "function", "function": tool} for tool in tools] or None
        self.asked.append((str(folder), shaped, given))
        for generate in (True, False):
            text = tokenizer.render(messages, add_generation_prompt=generate, tools=tools)
            ids = tokenizer.encode(text)
            self.ours.append([text, ids, tokenizer.decode(ids)])

    def ask_transformers(self) -> list[list[object]]:
        """What transformers makes of the same, asked in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-c", REFERENCE],
            input=json.dumps(self.asked),
            capture_output=True,
            text=True,
            check=True,
        )
        answers: list[list[object]] = json.loads(done.stdout)
        return answers


@pytest.mark.heavy
def test_text_and_ids_equal_those_of_transformers(tmp_path: Path, make_folder: MakeFolder) -> None:
    cases = Cases()
    folders = [
        make_tiny_llama(tmp_path / "llama"),
        make_folder(tmp_path / "smollm2"),
        make_folder(tmp_path / "own", OWN_TEMPLATE, template_in_config=True),
    ]
    for folder in folders:
        for messages in CONVERSATIONS:
            cases.add(folder, messages, [], "")
    for number, template in enumerate(FAMILIES.values()):
        folder = make_tiny_llama(
            tmp_path / str(number), chat_template=template, special=SPECIAL[template]
        )
        for messages in WITH_CALLS:
            cases.add(folder, messages, [], template)
            cases.add(folder, messages, TOOLS, template)

    assert cases.ours == cases.ask_transformers()
