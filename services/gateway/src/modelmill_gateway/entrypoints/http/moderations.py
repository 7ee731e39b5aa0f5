"""Moderations in OpenAI's shape, by the same policy that judges what goes into a chat."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from modelmill_gateway.answers.embed_texts import JudgeTexts
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.bodies.chat_body import parse_open
from modelmill_gateway.entrypoints.http.gate import Receive, Scope, Send
from modelmill_gateway.entrypoints.http.requests import context_of
from modelmill_gateway.entrypoints.http.text_replies import send_fields, while_listening, whole_body
from modelmill_gateway.entrypoints.schemas.parsing import OpenBody
from modelmill_gateway.entrypoints.views.moderation_views import result_view

MAX_TEXTS = 64


class TextPart(OpenBody):
    """One part of an input in parts."""

    type: Literal["text"]
    text: str


def _as_texts(given: Any) -> Any:
    """A list of texts: one for a text, one for all parts of an input that comes in parts."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given and all(isinstance(part, dict) for part in given):
        parts = [TextPart.model_validate(part) for part in given]
        return ["\n".join(part.text for part in parts)]
    return given


def _text_texts_or_parts(schema: dict[str, Any]) -> None:
    many = {name: schema.pop(name) for name in ("type", "items", "minItems", "maxItems")}
    part = {
        "type": "object",
        "required": ["type", "text"],
        "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
    }
    parts = {"type": "array", "items": part, "minItems": 1}
    schema["anyOf"] = [{"type": "string"}, many, parts]


class ModerationBody(OpenBody):
    """Request body of POST /v1/moderations."""

    input: Annotated[list[str], BeforeValidator(_as_texts)] = Field(
        min_length=1, max_length=MAX_TEXTS, json_schema_extra=_text_texts_or_parts
    )
    model: str | None = Field(
        None, max_length=256, description="Ignored: the tenant's policy judges."
    )


class ModerationRoute:
    """POST /v1/moderations, as plain ASGI: a client that leaves gives up its place in the queue."""

    def __init__(self, judge_texts: JudgeTexts) -> None:
        self._judge_texts = judge_texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = parse_open(await whole_body(receive), ModerationBody)
        await while_listening(receive, self._reply(body, context_of(scope), send))

    async def _reply(self, body: ModerationBody, request: RequestContext, send: Send) -> None:
        verdicts = await self._judge_texts(body.input, request)
        view = {
            "id": f"modr-{request.request_id.removeprefix('req-')}",
            "model": verdicts[0].policy_digest,
            "results": [result_view(verdict) for verdict in verdicts],
        }
        await send_fields(send, view, [(b"x-policy-digest", verdicts[0].policy_digest.encode())])
