"""JSON values that are nearly sound: one to four things done to a sound one."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

Slot = tuple[Any, Any]
"""A list or object, and the index or name of one of its values."""

MOST_CHARACTERS = 20_000
"""Of a value as JSON; a larger one is not made larger."""

NAMES = (
    *("messages", "conversations", "from", "value", "role", "content", "user", "assistant", "tool"),
    *("text", "prompt", "chosen", "rejected", "instruction", "output", "input", "history", "tools"),
    *("tool_calls", "function", "name", "arguments", "id", "tool_call_id", "human", "gpt", "type"),
    *("system", "function_call", "observation", "\ud800", "", " ", "\0"),
)
"""What columns, fields and speakers are called."""


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, 2**31, 2**63, 2**64, 2**70, -(2**63) - 1, 10**400),
    *("", " ", "\u200b", "\ud800", "\ud83d\ude00", "\0", "x" * 1_500, "{", "[", "null", "[]", "{}"),
    *([], {}, [[]], [None], [{}], {"": {}}, _nested(50), _nested(97), _nested(150)),
    *('{"a": NaN}', "1e999", "[" * 200, '[{"role": "user", "content": "Hi"}]', "\u2028", "\ufeff"),
)
"""What a field hardly ever holds."""


def broken_value(random: Random, value: Any) -> Any:
    """A copy of a JSON value with one to four things done to what is in it."""
    copy = json.loads(json.dumps(value))
    for _ in range(random.randint(1, 4)):
        slots = list(_slots(copy))
        if slots:
            random.choice(_WAYS)(random, *random.choice(slots))
        if len(json.dumps(copy)) > MOST_CHARACTERS:
            break
    return copy


def _slots(value: Any) -> Iterator[Slot]:
    """Every place in a value that another value could stand in; not deep into nested ones."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        for key in list(one) if isinstance(one, dict) else range(len(one)):
            yield one, key
            if isinstance(one[key], list | dict):
                waiting.append(one[key])


def _replace(random: Random, holder: Any, key: Any) -> None:
    # A copy: what is done to it later must not be done to `ODD`, nor a value stand within itself.
    holder[key] = deepcopy(random.choice(ODD))


def _delete(random: Random, holder: Any, key: Any) -> None:
    del holder[key]


def _rename(random: Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        holder[random.choice(NAMES)] = holder.pop(key)
    else:
        holder[key] = random.choice(NAMES)


def _name_it(random: Random, holder: Any, key: Any) -> None:
    holder[key] = random.choice(NAMES)


def _as_text(random: Random, holder: Any, key: Any) -> None:
    """What a CSV cell holds of a list or object."""
    holder[key] = json.dumps(holder[key], ensure_ascii=random.random() < 0.5)


def _wrap(random: Random, holder: Any, key: Any) -> None:
    holder[key] = [holder[key]] if random.random() < 0.5 else {random.choice(NAMES): holder[key]}


def _repeat(random: Random, holder: Any, key: Any) -> None:
    if isinstance(holder, list):
        holder[key:key] = [holder[key]] * random.randint(1, 5)
    else:
        holder[random.choice(NAMES)] = holder[key]


def _swap(random: Random, holder: Any, key: Any) -> None:
    other = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    holder[key], holder[other] = holder[other], holder[key]


_WAYS: tuple[Callable[[Random, Any, Any], None], ...] = (
    _replace, _replace, _delete, _rename, _name_it, _as_text, _wrap, _repeat, _swap,
)  # fmt: skip
