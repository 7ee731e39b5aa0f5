"""Embeddings: vectors of texts."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from modelmill_gateway.entrypoints.schemas.base import ModelName
from modelmill_gateway.entrypoints.schemas.parsing import OneOrMany, OpenBody

MAX_TEXTS = 256


def _refuse_token_ids(given: Any) -> Any:
    """Stops what clients of OpenAI's own tokenizers send: ids, or a list of them for each text."""
    if isinstance(given, list) and given and all(isinstance(one, int | list) for one in given):
        raise ValueError(
            "give texts, not token ids, which are of another tokenizer;"
            " LangChain's OpenAIEmbeddings sends texts with check_embedding_ctx_length=False"
        )
    return given


class EmbeddingBody(OpenBody):
    """Request body of POST /v1/embeddings."""

    model: ModelName = Field(min_length=1, max_length=256, description="Alias, version id or name.")
    input: Annotated[OneOrMany, BeforeValidator(_refuse_token_ids)] = Field(
        min_length=1,
        max_length=MAX_TEXTS,
        description="Texts; token ids are not taken, which are of other tokenizers."
        " LangChain sends them unless check_embedding_ctx_length is false.",
        examples=[["espresso", "oak"]],
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="Encoding; base64 holds little-endian 32-bit floats."
    )


class Embedding(TypedDict):
    """Embedding of a text, normalised to length 1; base64 holds little-endian 32-bit floats."""

    object: Literal["embedding"]
    index: int
    embedding: Annotated[list[float] | str, Field(examples=[[0.6, 0.8]])]


class EmbeddingUsage(TypedDict):
    """Token usage of all texts."""

    prompt_tokens: Annotated[int, Field(examples=[4])]
    total_tokens: Annotated[int, Field(examples=[4])]


class EmbeddingList(TypedDict):
    """Embeddings in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: ModelName
    usage: EmbeddingUsage
