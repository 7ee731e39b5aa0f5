"""Moderations in OpenAI's shape, by the same policy that judges what goes into a chat."""

from modelmill_gateway.answers.embed_texts import JudgeTexts
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.http.middleware import Receive, Scope, Send
from modelmill_gateway.entrypoints.http.request_head import whole_body
from modelmill_gateway.entrypoints.http.requests import context_of
from modelmill_gateway.entrypoints.http.text_replies import send_fields, while_listening
from modelmill_gateway.entrypoints.schemas.moderations import (
    Moderation,
    ModerationBody,
    moderation_result,
)
from modelmill_gateway.entrypoints.schemas.parsing import parse_open


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
        view: Moderation = {
            "id": f"modr-{request.request_id.removeprefix('req-')}",
            "model": verdicts[0].policy_digest,
            "results": [moderation_result(verdict) for verdict in verdicts],
        }
        await send_fields(send, view, [(b"x-policy-digest", verdicts[0].policy_digest.encode())])
