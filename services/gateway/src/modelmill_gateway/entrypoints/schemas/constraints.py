"""The form that an answer must have: by OpenAI's field and by those that vLLM's clients know."""

import json
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from modelmill_gateway.domain.chat import Constraint
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.schemas.parsing import Many, OpenBody

_ANY = {"$ref": "#/$defs/any"}
_COMPOUND = [
    {"type": "object", "additionalProperties": _ANY},
    {"type": "array", "items": _ANY},
]
_SIMPLE = [{"type": kind} for kind in ("string", "number", "boolean", "null")]
ANY_OBJECT = json.dumps(_COMPOUND[0] | {"$defs": {"any": {"anyOf": [*_SIMPLE, *_COMPOUND]}}})

Schema = dict[str, Any] | bool
Choices = Annotated[Many[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
Expression = Annotated[str, Field(min_length=1)]


class ClosedPart(OpenBody):
    """A part of a body whose unknown fields are refused: unnoticed they would free the answer."""

    model_config = ConfigDict(extra="forbid")


class JsonSchema(ClosedPart):
    """A schema with its name. It holds whether `strict` is said or not."""

    description: str | None = None
    name: str = Field(min_length=1, max_length=64)
    json_schema: Schema = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(ClosedPart):
    """Response format, as OpenAI's clients send it."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema goes with the type json_schema, and only with it")
        return self

    @property
    def constraint(self) -> Constraint | None:
        """What it asks for; None for any text."""
        if self.type == "text":
            return None
        if self.json_schema is None:
            return Constraint("json_schema", ANY_OBJECT)
        return _schema(self.json_schema.json_schema)


class StructuredOutputs(OpenBody):
    """Structured outputs, as vLLM's clients send them."""

    json_schema: Schema | None = Field(None, alias="json")
    regex: Expression | None = None
    choice: Choices | None = None


class ConstrainedBody(OpenBody):
    """What may be said of an answer's form; at most one of these."""

    response_format: ResponseFormat | None = Field(
        None, description="Form of the answer: any text, any JSON object, or JSON of a schema."
    )
    structured_outputs: StructuredOutputs | None = None
    guided_json: Schema | None = Field(None, description="JSON schema that the answer follows.")
    guided_regex: Expression | None = Field(
        None, description="Regular expression that matches the whole answer."
    )
    guided_choice: Choices | None = Field(None, description="Choices; the answer is one of them.")

    @property
    def constraint(self) -> Constraint | None:
        """The form that was asked for.

        Raises:
            BadRequestError: several were.
        """
        if ConstrainedBody.model_fields.keys().isdisjoint(self.model_fields_set):
            return None
        wanted: dict[str, Constraint] = {}
        outputs = self.structured_outputs or StructuredOutputs()
        if self.response_format is not None and self.response_format.constraint is not None:
            wanted["response_format"] = self.response_format.constraint
        schemas = {
            "guided_json": self.guided_json,
            "structured_outputs.json": outputs.json_schema,
        }
        regexes = {"guided_regex": self.guided_regex, "structured_outputs.regex": outputs.regex}
        choices = {"guided_choice": self.guided_choice, "structured_outputs.choice": outputs.choice}
        wanted |= {field: _schema(it) for field, it in schemas.items() if it is not None}
        wanted |= {field: Constraint("regex", it) for field, it in regexes.items() if it}
        wanted |= {
            field: Constraint("choice", choices=tuple(it)) for field, it in choices.items() if it
        }
        if len(wanted) > 1:
            fields = list(wanted)
            raise BadRequestError(f"{fields[1]}: not together with {fields[0]}", param=fields[1])
        return next(iter(wanted.values()), None)


def _schema(schema: Schema) -> Constraint:
    return Constraint("json_schema", json.dumps(schema, ensure_ascii=False))
