"""Validated tokenization options."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

DEFAULT_PACK_TOKENS = 2048
MAX_PACK_TOKENS = 1 << 20
MAX_MODEL_CHARACTERS = 200


@dataclass(frozen=True)
class TokenizePlan:
    """Validated options with defaults."""

    model: str = ""
    """Version or name of the base model; empty for no token ids."""
    max_tokens: int = 0
    """Longer rows are quarantined; 0 for the model's context."""
    pack_tokens: int = DEFAULT_PACK_TOKENS
    """Size of a pack in tokens."""


def plan_tokenize(spec: Mapping[str, Any]) -> TokenizePlan:
    """Validate a `modelmill.data_prep.v1.TokenizeSpec`, given as a mapping.

    Raises:
        InvalidInputError: Lists every error.
    """
    model = str(spec.get("model", ""))
    max_tokens, pack_tokens = int(spec.get("max_tokens", 0)), int(spec.get("pack_tokens", 0))
    errors = []
    if len(model) > MAX_MODEL_CHARACTERS or not model.isprintable():
        errors.append(
            f"tokenize: model must be at most {MAX_MODEL_CHARACTERS} printable characters"
        )
    if not model:
        errors += [
            f"tokenize: {field} means nothing without a model"
            for field, value in (("max_tokens", max_tokens), ("pack_tokens", pack_tokens))
            if value
        ]
    if max_tokens == 1:
        errors.append("tokenize: max_tokens must be at least 2, a prompt and an answer")
    if pack_tokens > MAX_PACK_TOKENS:
        errors.append(f"tokenize: pack_tokens must be at most {MAX_PACK_TOKENS}, got {pack_tokens}")
    if 0 < pack_tokens < max_tokens:
        errors.append(
            f"tokenize: pack_tokens ({pack_tokens}) must not be below max_tokens ({max_tokens}): "
            "a row is never cut"
        )
    if errors:
        raise InvalidInputError(errors)
    return TokenizePlan(model, max_tokens, pack_tokens or DEFAULT_PACK_TOKENS)
