"""Embeddings in OpenAI's shape, behind the policy on inputs."""

import base64
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import BeforeValidator, Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.answers.embed_texts import Embedded
from gateway.domain.access import Caller
from gateway.domain.errors import unsupported
from gateway.entrypoints.bodies.chat_body import parse_open
from gateway.entrypoints.bodies.parsing import OpenBody
from gateway.entrypoints.http.requests import Handlers, caller_of, json_response

MAX_TEXTS = 256
FLOAT_BYTES = 4


def _as_list(texts: Any) -> Any:
    return [texts] if isinstance(texts, str) else texts


def _one_or_many(schema: dict[str, Any]) -> None:
    """Says in the API document that one text may stand for a list of one."""
    many = {name: schema.pop(name) for name in ("type", "items", "minItems", "maxItems")}
    schema["anyOf"] = [{"type": "string", "minLength": 1}, many]


class EmbeddingBody(OpenBody):
    """POST /v1/embeddings."""

    model: str = Field(min_length=1, max_length=256, description="Alias, version id or name.")
    input: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_as_list)] = Field(
        min_length=1, max_length=MAX_TEXTS, json_schema_extra=_one_or_many
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="base64 is of little-endian 32-bit floats."
    )


class Embeds(Protocol):
    """See `gateway.answers.embed_texts.EmbedTexts`."""

    async def __call__(
        self, model: str, texts: Sequence[str], caller: Caller, *, request_id: str
    ) -> Embedded: ...


class EmbeddingRoutes:
    """/v1/embeddings."""

    def __init__(self, embed_texts: Embeds) -> None:
        self._embed_texts = embed_texts

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {"embed": self._post}

    async def _post(self, request: Request) -> Response:
        body = parse_open(await request.body(), EmbeddingBody)
        if (body.model_extra or {}).get("dimensions") is not None:
            raise unsupported("dimensions")
        embedded = await self._embed_texts(
            body.model, body.input, caller_of(request), request_id=request.state.request_id
        )
        shown = _base64 if body.encoding_format == "base64" else _floats
        view = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": shown(vector)}
                for index, vector in enumerate(embedded.vectors)
            ],
            "model": body.model,
            "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
        }
        answer = json_response(view)
        answer.headers["x-model-version"] = embedded.version_id
        return answer


def _base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def _floats(vector: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(vector) // FLOAT_BYTES}f", vector))
