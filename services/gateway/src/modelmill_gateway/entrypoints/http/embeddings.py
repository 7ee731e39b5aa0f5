"""Embeddings in OpenAI's shape, behind the policy on inputs."""

import base64
import struct

from modelmill_gateway.answers.embed_texts import EmbedTexts
from modelmill_gateway.domain.errors import unsupported
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.http.errors import Headers
from modelmill_gateway.entrypoints.http.middleware import Receive, Scope, Send
from modelmill_gateway.entrypoints.http.request_head import whole_body
from modelmill_gateway.entrypoints.http.requests import context_of
from modelmill_gateway.entrypoints.http.text_replies import send_fields, while_listening
from modelmill_gateway.entrypoints.schemas.embeddings import EmbeddingBody, EmbeddingList
from modelmill_gateway.entrypoints.schemas.parsing import parse_open

FLOAT_BYTES = 4


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
    ) -> tuple[EmbeddingList, Headers]:
        """The vectors as OpenAI shows them, and what is said beside them."""
        embedded = await self._embed_texts(body.model, body.input, request)
        shown = _base64 if body.encoding_format == "base64" else _floats
        view: EmbeddingList = {
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
