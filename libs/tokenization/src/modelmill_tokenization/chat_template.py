"""A model's chat template, rendered as Hugging Face renders it, in a sandbox."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
from modelmill_service_kit.errors import InvalidInputError

from modelmill_tokenization.tool_turns import Function, Turn, TurnShape, message_of, tool_of

PLAIN = TurnShape()


class _GenerationTag(jinja2.ext.Extension):
    """`{% generation %}` marks the assistant's text for training masks; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012  the base class declares it as a plain attribute

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes for HTML, which would put `\\u003c` into prompts."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


class ChatTemplate:
    """Renders conversations to the text that the model was trained on.

    Args:
        source: the Jinja text. It comes with the model, so it runs without access to Python.
        special_tokens: `bos_token`, `eos_token` and the like, which templates may name.

    Raises:
        InvalidInputError: `source` is not a Jinja template.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_GenerationTag, jinja2.ext.loopcontrols],
        )
        environment.filters["tojson"] = _tojson
        functions: dict[str, Callable[..., Any]] = {
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
        }
        environment.globals.update(functions)
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise InvalidInputError(f"the chat template does not parse: {error}") from error
        self._special_tokens = dict(special_tokens)

    def render(
        self,
        messages: Sequence[Turn],
        *,
        add_generation_prompt: bool,
        tools: Sequence[Function] = (),
        shape: TurnShape = PLAIN,
    ) -> str:
        """The conversation as text, with the head of the assistant's next turn when asked for.

        Args:
            tools: functions that the model may call.
            shape: how the template wants turns with calls.

        Raises:
            InvalidInputError: the template refuses these messages, or fails on them.
            MemoryError: it wanted more than there is.
        """
        shaped = [message_of(turn, messages[:place], shape) for place, turn in enumerate(messages)]
        try:
            return self._template.render(
                messages=shaped,
                tools=[tool_of(function) for function in tools] or None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._special_tokens,
            )
        except MemoryError:
            raise  # of the limits of the process; no more messages of another kind would help
        # The template is foreign code: besides Jinja's own errors it can raise whatever the
        # expressions in it raise (TypeError, OverflowError, RecursionError, ...).
        except Exception as error:
            raise InvalidInputError(
                f"the model's chat template refuses these messages: {error}"
            ) from error
