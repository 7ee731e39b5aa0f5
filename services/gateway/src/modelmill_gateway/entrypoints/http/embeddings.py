"""Embeddings in OpenAI's shape, behind the policy on inputs."""

import base64
import struct
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from modelmill_gateway.answers.embed_texts import EmbedTexts
from modelmill_gateway.domain.errors import unsupported
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.bodies.chat_body import parse_open
from modelmill_gateway.entrypoints.http.errors import Headers
from modelmill_gateway.entrypoints.http.gate import Receive, Scope, Send
from modelmill_gateway.entrypoints.http.requests import context_of
from modelmill_gateway.entrypoints.http.text_replies import send_fields, while_listening, whole_body
from modelmill_gateway.entrypoints.schemas.parsing import OpenBody

MAX_TEXTS = 256
FLOAT_BYTES = 4


def _as_list(texts: Any) -> Any:
    return [texts] if isinstance(texts, str) else texts


def _one_or_many(schema: dict[str, Any]) -> None:
    """Says in the API document that one text may stand for a list of one."""
    many = {name: schema.pop(name) for name in ("type", "items", "minItems", "maxItems")}
    schema["anyOf"] = [{"type": "string", "minLength": 1}, many]


class EmbeddingBody(OpenBody):
    """Request body of POST /v1/embeddings."""

    model: str = Field(min_length=1, max_length=256, description="Alias, version id or name.")
    input: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_as_list)] = Field(
        min_length=1, max_length=MAX_TEXTS, json_schema_extra=_one_or_many
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="Encoding; base64 holds little-endian 32-bit floats."
    )


class EmbeddingRoute:
    """POST /v1/embeddings, as plain ASGI: a client that leaves gives up its place in the queue."""

    def __init__(self, embed_texts: EmbedTexts) -> None:
        self._embed_texts = embed_texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = parse_embedding(await whole_body(receive))
        await while_listening(receive, self._reply(body, context_of(scope), send))

    async def _reply(self, body: EmbeddingBody, request: RequestContext, send: Send) -> None:
        await send_fields(send, *await self.embeddings(body, request))

    async def embeddings(
        self, body: EmbeddingBody, request: RequestContext
    ) -> tuple[dict[str, Any], Headers]:
        """The vectors as OpenAI shows them, and what is said beside them."""
        embedded = await self._embed_texts(body.model, body.input, request)
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
        headers = [
            (b"x-model-version", embedded.version_id.encode()),
            (b"x-model-variant", embedded.variant.encode()),
            (b"x-policy-digest", embedded.policy_digest.encode()),
            *embedded.headers,
        ]
        return view, headers


def parse_embedding(body: bytes) -> EmbeddingBody:
    """Raises BadRequestError; `param` is the first field at fault."""
    parsed = parse_open(body, EmbeddingBody)
    if (parsed.model_extra or {}).get("dimensions") is not None:
        raise unsupported("dimensions")
    return parsed


def _base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def _floats(vector: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(vector) // FLOAT_BYTES}f", vector))
