"""Forces an answer to be a tool call: its prefix is given, and a grammar enforces its arguments.

The prefix goes into the prompt, because a grammar cannot produce special tokens.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from modelmill_tokenization import Function
from modelmill_tokenization.token_decoder import TokenDecoder

from modelmill_inference.domain.call_format import call_format_of
from modelmill_inference.domain.generation import EngineCannotError
from modelmill_inference.domain.sampling import CallForm, OutputConstraint

SAY_ALL = ("$ref", "anyOf", "oneOf", "allOf", "type", "const", "enum")
"""Keywords that define the type; a schema without them is taken as an object."""


@dataclass(frozen=True, slots=True)
class ForcedCall:
    """Text around a forced call, and the constraint on what the model generates."""

    before: str
    constraint: OutputConstraint
    behind: str


def forced_call(tokenizer: TokenDecoder, offered: Sequence[Function]) -> ForcedCall:
    """The format of an answer that calls one of these functions.

    Raises:
        EngineCannotError: the format does not allow the model to choose the function.
    """
    call_format = call_format_of(tokenizer, must_call=True)
    assert call_format is not None  # without a template format, the prompt describes calls
    form = call_format.form
    if len(offered) == 1:
        before, behind = form.around_arguments(offered[0]["name"])
        return ForcedCall(before, OutputConstraint("json_schema", _schema(offered[0])), behind)
    before, between, behind = form.frame
    if call_format.marks.mark(between) != between:
        raise EngineCannotError(
            "this model's calls have a special token behind their name. Demand a tool by its name"
        )
    calls = []
    for function in offered:
        name, schema = function["name"], _schema(function)
        if form.arguments_first:
            calls.append(CallForm("", schema, between + name))
        else:
            calls.append(CallForm(name + between, schema, ""))
    return ForcedCall(before, OutputConstraint("call", calls=tuple(calls)), behind)


def _schema(function: Function) -> str:
    schema = function["parameters"]
    if not any(keyword in schema for keyword in SAY_ALL):
        schema = {"type": "object", **schema}
    return json.dumps(schema, ensure_ascii=False)
