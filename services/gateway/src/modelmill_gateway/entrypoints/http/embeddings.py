"""Embeddings in OpenAI's shape, behind the policy on inputs."""

import base64
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import BeforeValidator, Field

from modelmill_gateway.answers.embed_texts import Embedded
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import unsupported
from modelmill_gateway.entrypoints.bodies.chat_body import parse_open
from modelmill_gateway.entrypoints.http.gate import Receive, Scope, Send
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


class Embeds(Protocol):
    """See `modelmill_gateway.answers.embed_texts.EmbedTexts`."""

    async def __call__(
        self, model: str, texts: Sequence[str], caller: Caller, *, request_id: str
    ) -> Embedded: ...


class EmbeddingRoute:
    """POST /v1/embeddings, as plain ASGI: a client that leaves gives up its place in the queue."""

    def __init__(self, embed_texts: Embeds) -> None:
        self._embed_texts = embed_texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = parse_open(await whole_body(receive), EmbeddingBody)
        if (body.model_extra or {}).get("dimensions") is not None:
            raise unsupported("dimensions")
        await while_listening(receive, self._reply(body, scope["state"], send))

    async def _reply(self, body: EmbeddingBody, state: dict[str, Any], send: Send) -> None:
        embedded = await self._embed_texts(
            body.model, body.input, state["caller"], request_id=state["request_id"]
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
        headers = [
            (b"x-model-version", embedded.version_id.encode()),
            (b"x-model-variant", embedded.variant.encode()),
            (b"x-policy-digest", embedded.policy_digest.encode()),
            *embedded.headers,
        ]
        await send_fields(send, view, headers)


def _base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def _floats(vector: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(vector) // FLOAT_BYTES}f", vector))
