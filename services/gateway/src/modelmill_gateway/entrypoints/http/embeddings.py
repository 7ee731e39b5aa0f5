"""Texts that are embedded or judged, and not answered."""

import base64
import math
import struct

from modelmill_gateway.answers.embed_texts import EmbedTexts, JudgeTexts
from modelmill_gateway.domain.errors import unsupported
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.http.errors import Headers
from modelmill_gateway.entrypoints.http.text_replies import JsonRoute
from modelmill_gateway.entrypoints.schemas.embeddings import EmbeddingBody, EmbeddingList
from modelmill_gateway.entrypoints.schemas.moderations import (
    Moderation,
    ModerationBody,
    text_moderation,
)
from modelmill_gateway.entrypoints.schemas.parsing import parse_open
from modelmill_gateway.entrypoints.schemas.texts import refuse_unknown

FLOAT_BYTES = 4
IGNORED = ("dimensions", "user")
"""Fields of an order for embeddings; null is no value."""


class EmbeddingRoute(JsonRoute[EmbeddingBody]):
    """POST /v1/embeddings, in OpenAI's shape, behind the policy on inputs."""

    def __init__(self, embed_texts: EmbedTexts) -> None:
        self._embed_texts = embed_texts

    def parse(self, body: bytes) -> EmbeddingBody:
        parsed = parse_open(body, EmbeddingBody)
        if (parsed.model_extra or {}).get("dimensions") is not None:
            raise unsupported("dimensions")
        refuse_unknown(parsed, IGNORED)
        return parsed

    async def whole(
        self, asked: EmbeddingBody, request: RequestContext
    ) -> tuple[EmbeddingList, Headers]:
        """The vectors as OpenAI shows them."""
        embedded = await self._embed_texts(asked.model, asked.input, request)
        shown = _base64 if asked.encoding_format == "base64" else _floats
        view: EmbeddingList = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": shown(vector)}
                for index, vector in enumerate(embedded.vectors)
            ],
            "model": asked.model,
            "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
        }
        headers = [
            (b"x-model-version", embedded.version_id.encode()),
            (b"x-model-variant", embedded.variant.encode()),
            (b"x-policy-digest", embedded.policy_digest.encode()),
            *embedded.headers,
        ]
        return view, headers


def _base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def _floats(vector: bytes) -> list[float]:
    floats = list(struct.unpack(f"<{len(vector) // FLOAT_BYTES}f", vector))
    if not all(map(math.isfinite, floats)):
        raise ValueError("the engine's vector is not finite")  # JSON has no such numbers
    return floats


class ModerationRoute(JsonRoute[ModerationBody]):
    """POST /v1/moderations, in OpenAI's shape, by the policy that judges what goes into a chat."""

    def __init__(self, judge_texts: JudgeTexts) -> None:
        self._judge_texts = judge_texts

    def parse(self, body: bytes) -> ModerationBody:
        parsed = parse_open(body, ModerationBody)
        refuse_unknown(parsed, ())
        return parsed

    async def whole(
        self, asked: ModerationBody, request: RequestContext
    ) -> tuple[Moderation, Headers]:
        """A result for each text."""
        verdicts = await self._judge_texts(asked.input, request)
        shown: Moderation = {
            "id": f"modr-{request.request_id.removeprefix('req-')}",
            "model": verdicts[0].policy_digest,
            "results": [text_moderation(verdict) for verdict in verdicts],
        }
        return shown, [(b"x-policy-digest", verdicts[0].policy_digest.encode())]
