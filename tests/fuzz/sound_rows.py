"""Sound rows of every layout, and specs, that are broken afterwards."""

from typing import Any

Row = dict[str, Any]

_CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"a": 1}'}}
_TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
_TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]

CALLING: list[Row] = [
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is it like?", "name": "ada"},
            {"role": "assistant", "content": None, "tool_calls": [_CALL, {**_CALL, "id": "c2"}]},
            {"role": "tool", "content": "rain", "tool_call_id": "c2"},
            {"role": "tool", "content": [{"type": "text", "text": "sun"}], "tool_call_id": "c1"},
            {"role": "assistant", "content": "Both."},
        ],
        "tools": [_TOOL],
    },
    {
        "messages": [
            {"role": "user", "content": "Go on"},
            {"role": "assistant", "content": "", "tool_calls": [_CALL]},
        ],
        "tools": '[{"function": {"name": "weather"}}]',
    },
]
"""As OpenAI writes calls of tools."""

ROWS: dict[str, list[Row]] = {
    "openai_chat": [
        {"messages": _TURNS},
        {"messages": [{"role": "system", "content": "S"}, *_TURNS, *_TURNS]},
        {"messages": '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]'},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, _TURNS[1]]},
        *CALLING,
    ],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "好的"}]},
        {
            "system": "Be brief.",
            "tools": '[{"type": "function", "function": {"name": "f"}}]',
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {"a": [1, 2.5]}}'},
                {"from": "observation", "value": "5"},
                {"from": "gpt", "value": "Five"},
            ],
        },
    ],
    "alpaca": [
        {"instruction": "Add", "input": "1 2", "output": "3"},
        {"instruction": "Add", "output": "3", "system": "S", "history": [["a", "b"], ["c", "d"]]},
    ],
    "text": [{"text": "A document.\n\nOf two paragraphs."}, {"text": "好 \U0001f600", "n": 1}],
    "preference": [
        {"prompt": "Q", "chosen": "good", "rejected": "bad"},
        {"messages": _TURNS[:1], "chosen": [_TURNS[1]], "rejected": "bad", "system": "S"},
        {
            "prompt": "Hi",
            "chosen": _TURNS,
            "rejected": [_TURNS[0], {"role": "assistant", "content": "No"}],
        },
    ],
}
"""By layout."""

TEMPLATED: list[Row] = [
    {"q": "What is it?", "a": "A test.", "n": 1, "b": "Another."},
    {"q": "100 %s {a}", "a": "好", "n": 2.5, "b": "}}{{", "x.y": 3, "": "none", "tools": [_TOOL]},
]
TEMPLATES: list[Row] = [
    {"user_template": "{q} {n}", "answer_template": "{a}"},
    {"system_template": "S {{n}} %", "user_template": "{q}", "answer_template": "{x.y}%d{a}"},
    {
        "user_template": "{q}{q}",
        "answer_template": "{a}",
        "rejected_template": "{b}",
        "tools_column": "tools",
    },
]

SPECS: list[Row] = [
    {"file_id": "file-1", "mapping": {"layout": "openai_chat"}},
    {
        "file_id": "file-1",
        "name": "everything",
        "mapping": {"user_template": "{q}", "answer_template": "{a}", "tools_column": "t"},
        "shares": {"train": 0.8, "valid": 0.1, "test": 0.1},
        "seed": 2**64 - 1,
        "max_test_rows": 200,
        "clean": {"transforms": ["markup", "unicode"]},
        "filter": {
            "preset": "standard",
            "thresholds": {"characters.min": 5, "symbol_share.max": 0.25},
            "languages": ["zh", "en"],
        },
        "entities": {"actions": {"email": "mask", "*": "keep"}, "spacy_models": {"en": "m"}},
        "duplicates": {
            "near_threshold": 0.8,
            "evaluation_file_ids": ["file-2"],
            "contamination_threshold": 0.7,
        },
        "augment": {"steps": [{"method": "synonyms", "share": 0.5, "min_similarity": 0.4}]},
        "curriculum": {
            "order": "competence",
            "weights": {"length": 1, "rarity": 2.5},
            "initial_competence": 0.2,
        },
        "tokenize": {"model": "smollm2", "max_tokens": 512, "pack_tokens": 2048},
    },
]
"""Bodies of `POST /v1/datasets`."""

TEXTS: list[str] = [
    "<p>Hello <b>you</b></p><script>x<y</script><p>Tom &amp; Co</p><ul><li>a<li>b</ul>",
    "a < b and c > d\n```html\n<p>x &amp; y</p>\n```\n# Title\n\n* **bold** [a](b) &#32431; &copy;",
    "<table><tr><td>1</td></tr></table><!-- no --> This website uses cookies. Â© cafÃ©\ufeff\u200d",
    "\u202eabc\u202c  \u3000 e\u0301 \u1100\u1161 \U0001f468\u200d\U0001f469\u200d\U0001f467 ﬁ",
]
"""Of pages, as they are found."""
