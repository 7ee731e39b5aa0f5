"""A call of a function on its way out: its arguments are text in another dress."""

import json
from typing import Any, NamedTuple

from modelmill_guard.bundle import CompiledPolicy, TextTooLongError
from modelmill_guard.verdict import Action, Direction, RuleMatch, Verdict

from modelmill_gateway.domain.chat import ToolCall
from modelmill_gateway.guarding.joined_strings import joined_strings


class GuardedCall(NamedTuple):
    """The call as it may leave, or None when it may not, and what rules matched in it."""

    call: ToolCall | None
    matches: tuple[RuleMatch, ...] = ()


class _BlockedError(Exception):
    """A rule forbids it."""


def guarded_call(call: ToolCall, policy: CompiledPolicy) -> GuardedCall:
    """What may leave of a call.

    Masks fall on texts within the arguments, read without the escapes in which JSON may hide
    them. What matches elsewhere, in a name, a key, a number, or across texts, cannot be masked
    without making another call of it, and is blocked.
    """
    parts = _Parts(policy)
    try:
        arguments = json.loads(call.arguments)
        masked = json.dumps(parts.masked(arguments), ensure_ascii=False)
        parts.pass_whole(call.name)
        parts.pass_whole(masked)
        parts.pass_joined([call.name, arguments])
    except (_BlockedError, TextTooLongError, ValueError, RecursionError):
        return GuardedCall(None, tuple(parts.matches))
    passed = call if json.loads(masked) == arguments else call._replace(arguments=masked)
    return GuardedCall(passed, tuple(parts.matches))


class _Parts:
    """Judges the parts of one call, and keeps what matched."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self.matches: list[RuleMatch] = []
        self._policy = policy

    def masked(self, value: Any) -> Any:
        """The value with masks on its texts."""
        if isinstance(value, dict):
            for key in value:
                self.pass_whole(key)
            return {key: self.masked(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.masked(inner) for inner in value]
        if not isinstance(value, str):
            return value
        verdict = self._judged(value)
        if verdict.action is Action.BLOCK:
            raise _BlockedError
        return verdict.text

    def pass_whole(self, text: str) -> None:
        """Raise unless the text may leave as it is."""
        if self._judged(text).action > Action.FLAG:
            raise _BlockedError

    def pass_joined(self, document: Any) -> None:
        """Raise if a rule blocks what its strings say together."""
        for text in joined_strings(document):
            verdict = self._policy.check(text, Direction.OUTPUT, each_rule_once=True)
            if verdict.action is Action.BLOCK:
                self.matches += verdict.matches
                raise _BlockedError

    def _judged(self, text: str) -> Verdict:
        verdict = self._policy.check(text, Direction.OUTPUT, each_rule_once=True)
        self.matches += verdict.matches
        return verdict
