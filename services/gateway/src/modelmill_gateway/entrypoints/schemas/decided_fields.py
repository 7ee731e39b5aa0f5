"""Fields of OpenAI's routes for text that are not served: each is decided, none is passed over."""

from collections.abc import Collection, Mapping
from typing import Any

from modelmill_gateway.domain.errors import BadRequestError, unsupported
from modelmill_gateway.entrypoints.schemas.parsing import OpenBody, unknown_field

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "parallel_tool_calls": (None, True),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "logit_bias": (None, {}),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "web_search_options": (None,),
    "reasoning_effort": (None, "none"),
    "verbosity": (None, "medium"),
    "store": (None, False),
}
"""Fields of OpenAI's that would change the answer and are not served, with the values that would
not. Anything else is refused by name."""
IGNORED = frozenset(
    (
        *("safety_identifier", "prompt_cache_key", "prompt_cache_options"),
        *("prompt_cache_retention", "metadata", "prediction", "service_tier"),
        "parallel_tool_calls",
    )
)
"""Fields of OpenAI's that would change no answer here; of calls, where one at most may come."""


def refuse_unserved(parsed: OpenBody, neutral: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise BadRequestError for what would change the answer and is not served, and for what is no
    field; names all."""
    extra = parsed.model_extra or {}
    wrong = [name for name, values in neutral.items() if extra.get(name) not in values]
    if wrong:
        raise unsupported(*wrong)
    refuse_unknown(parsed, neutral.keys() | IGNORED)


def refuse_unknown(parsed: OpenBody, decided: Collection[str]) -> None:
    """Raise BadRequestError for fields that are neither served nor decided; names all.

    One that is misspelt would change nothing, and nobody would know.
    """
    extra = parsed.model_extra or {}
    unknown = [name for name, value in extra.items() if value is not None and name not in decided]
    if unknown:
        known = type(parsed).model_fields
        errors = [unknown_field(name[:80], known) for name in unknown]
        raise BadRequestError(errors, param=unknown[0][:80], code="unknown_parameter")
