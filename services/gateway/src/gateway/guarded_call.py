"""A call of a function on its way out: its arguments are text in another dress."""

import json
from typing import Any

from guard.bundle import CompiledPolicy, TextTooLongError
from guard.verdict import Action, Direction

from gateway.domain.chat import ToolCall


class _BlockedError(Exception):
    """A rule forbids it."""


def guarded_call(call: ToolCall, policy: CompiledPolicy) -> ToolCall | None:
    """The call as it may leave, or None when it may not.

    Masks fall on texts within the arguments, read without the escapes in which JSON may hide
    them. What matches elsewhere, in a name, a key, a number, or across texts, cannot be masked
    without making another call of it, and is blocked.
    """
    try:
        arguments = json.loads(call.arguments)
        masked = json.dumps(_masked(arguments, policy), ensure_ascii=False)
        _pass(call.name, policy)
        _pass(masked, policy)
    except (_BlockedError, TextTooLongError, ValueError, RecursionError):
        return None
    return call if json.loads(masked) == arguments else call._replace(arguments=masked)


def _masked(value: Any, policy: CompiledPolicy) -> Any:
    if isinstance(value, dict):
        for key in value:
            _pass(key, policy)
        return {key: _masked(inner, policy) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, policy) for inner in value]
    if not isinstance(value, str):
        return value
    verdict = policy.check(value, Direction.OUTPUT)
    if verdict.action is Action.BLOCK:
        raise _BlockedError
    return verdict.text


def _pass(text: str, policy: CompiledPolicy) -> None:
    if policy.check(text, Direction.OUTPUT).action > Action.FLAG:
        raise _BlockedError
