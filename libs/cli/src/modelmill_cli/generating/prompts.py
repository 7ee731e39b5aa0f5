"""What a teacher is asked about a passage, and pairs read from what it says."""

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

from modelmill_cli.model_requests.json_objects import json_objects

Kind = Literal["qa", "instruction"]
KINDS: tuple[Kind, ...] = get_args(Kind)
VERSION = 1
"""Changes with the words below: what was asked in other words is asked again."""
ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "pairs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
                "required": ["question", "answer"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["pairs"],
    "additionalProperties": False,
}
_TASKS: dict[Kind, tuple[str, str]] = {
    "qa": (
        "Write {count} questions that the passage answers, each with its answer.",
        "写出 {count} 个能由这段文字回答的问题，并给出各自的答案。",
    ),
    "instruction": (
        "Write {count} different instructions that can be carried out with the passage alone, such"
        " as to explain, list, compare or summarise a part of it, each with the right response.",
        "写出 {count} 条仅凭这段文字就能完成的不同指令（如解释、列举、比较或概括其中一部分），"
        "并给出各自的正确回答。",
    ),
}
_RULES = (
    "A question is understood without the passage and does not mention it. An answer says only"
    " what the passage says, in its words where possible. Answer in the language of the passage,"
    ' with nothing but JSON: {{"pairs": [{{"question": "...", "answer": "..."}}]}}\n\nPassage:\n',
    "问题不依赖原文也能读懂，并且不提及“这段文字”。答案只包含原文的内容，尽量使用原文的词句。使用与原文相同的语言，"
    '只输出 JSON：{{"pairs": [{{"question": "...", "answer": "..."}}]}}\n\n文字：\n',
)
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
CHINESE_SHARE = 0.2


class Pair(NamedTuple):
    question: str
    answer: str


def prompt(passage: str, kind: Kind, count: int) -> str:
    """The user's message to the teacher, in Chinese for Chinese passages."""
    is_chinese = len(_HAN.findall(passage)) >= CHINESE_SHARE * len(passage)
    task, rules = _TASKS[kind][is_chinese], _RULES[is_chinese]
    return f"{task.format(count=count)} {rules.format()}{passage}"


def pairs_in(text: str) -> list[Pair]:
    """Pairs of an answer; also where words stand around the JSON, or its end is missing."""
    return [Pair(*each) for value in json_objects(text) for each in _pairs_of(value)]


def _pairs_of(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    listed = value.get("pairs")
    for each in listed if isinstance(listed, list) else [value]:
        question = each.get("question") if isinstance(each, dict) else None
        answer = each.get("answer") if isinstance(each, dict) else None
        if isinstance(question, str) and isinstance(answer, str):
            yield question.strip(), answer.strip()
