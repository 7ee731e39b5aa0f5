"""What makes an answer a call: its beginning is given, its arguments are held to their schema.

The beginning goes into the prompt, because no grammar can ask an engine for a special token.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from modelmill_tokenization import Function
from modelmill_tokenization.token_decoder import TokenDecoder

from modelmill_inference.domain.call_writing import call_writing
from modelmill_inference.domain.generation import EngineCannotError
from modelmill_inference.domain.sampling import CallForm, Constraint

SAY_ALL = ("$ref", "anyOf", "oneOf", "allOf", "type", "const", "enum")
"""A schema with one of them says itself of which type arguments are."""


@dataclass(frozen=True, slots=True)
class DemandedCall:
    """The frame of a call, and what the model writes within it."""

    before: str
    constraint: Constraint
    behind: str


def demanded_call(tokenizer: TokenDecoder, offered: Sequence[Function]) -> DemandedCall:
    """The form of an answer that calls one of these functions.

    Raises:
        EngineCannotError: it writes them so that the function cannot be left open.
    """
    writing = call_writing(tokenizer, must_call=True)
    assert writing is not None  # where the template writes none, they are asked for in words
    form = writing.form
    if len(offered) == 1:
        before, behind = form.around_arguments(offered[0]["name"])
        return DemandedCall(before, Constraint("json_schema", _schema(offered[0])), behind)
    before, between, behind = form.frame
    if writing.marks.mark(between) != between:
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
    return DemandedCall(before, Constraint("call", calls=tuple(calls)), behind)


def _schema(function: Function) -> str:
    schema = function["parameters"]
    if not any(keyword in schema for keyword in SAY_ALL):
        schema = {"type": "object", **schema}
    return json.dumps(schema, ensure_ascii=False)
