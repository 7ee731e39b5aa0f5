"""Answers over gRPC, whole or streamed, and verdicts beside them."""

from collections.abc import AsyncGenerator
from dataclasses import asdict

from modelmill.common.v1.chat_pb2 import ChatMessage, TokenUsage
from modelmill.common.v1.chat_pb2 import ToolCall as ToolCallMessage
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.inference.v1.inference_service_pb2 import CascadePath as CascadePathMessage
from modelmill.inference.v1.inference_service_pb2 import Constraint as ConstraintMessage
from modelmill.inference.v1.inference_service_pb2 import TokenAlternative
from modelmill.inference.v1.inference_service_pb2 import TokenLogprob as TokenLogprobMessage
from modelmill_service_kit.errors import InvalidInputError

from modelmill_gateway.answers.answer_chat import AnswerChat
from modelmill_gateway.domain.chat import (
    MAX_ALTERNATIVES,
    MAX_ANSWERS,
    MAX_PENALTY,
    ChatCall,
    Constraint,
    End,
    Moderated,
    Sampling,
    TokenLogprob,
    Tool,
    ToolCall,
    Turn,
)
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.domain.verdict import ModerationResult
from modelmill_gateway.entrypoints.schemas.chat import (
    LEAST_TEMPERATURE,
    LEAST_TOP_P,
    MAX_NEW_TOKENS,
    MAX_STOP_CHARS,
    MAX_STOPS,
)
from modelmill_gateway.entrypoints.schemas.texts import MAX_TOOLS
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers
from modelmill_gateway.metrics import ACTIVE_STREAMS

ROLES = ("system", "user", "assistant", "tool")
MAX_NAME_CHARS = 256
PENALTY_RULE = f"must be from -{MAX_PENALTY:g} to {MAX_PENALTY:g}"


class ChatProcedures:
    """Chat and StreamChat; a client that cancels takes its generation with it."""

    def __init__(self, answer_chat: AnswerChat) -> None:
        self._answer_chat = answer_chat

    async def Chat(self, request: pb.ChatRequest, call: RequestContext) -> pb.ChatResponse:
        async with self._answer_chat(_chat_call(request.call), call) as answers:
            whole = await answers.whole()
        said = [
            pb.ChatAnswer(
                text=answer.text,
                end=_end(answer.end, answers) if answer.end else None,
                logprobs=map(_logprob, answer.logprobs),
                tool_calls=map(_call, answer.calls),
            )
            for answer in whole
        ]
        return pb.ChatResponse(
            text=said[0].text, end=said[0].end, answers=said, verdicts=_verdicts_message(answers)
        )

    async def StreamChat(
        self, request: pb.StreamChatRequest, call: RequestContext
    ) -> AsyncGenerator[pb.StreamChatResponse]:
        last = pb.StreamChatResponse()
        running = request.call.answers or 1
        async with self._answer_chat(_chat_call(request.call), call) as answers:
            with ACTIVE_STREAMS.track_inprogress():
                async for piece in answers.pieces():
                    if piece.text or piece.logprobs or piece.calls:
                        yield pb.StreamChatResponse(
                            text_delta=piece.text,
                            index=piece.answer,
                            logprobs=map(_logprob, piece.logprobs),
                            tool_calls=map(_call, piece.calls),
                        )
                    if piece.end is not None:
                        running -= 1
                        end = _end(piece.end, answers)
                        last = pb.StreamChatResponse(end=end, index=piece.answer)
                        if running:
                            yield last
        if answers.tells_verdicts:
            yield pb.StreamChatResponse(verdicts=_verdicts_message(answers))
        yield last


def _chat_call(asked: pb.ChatCall) -> ChatCall:
    """The call as HTTP would have it.

    Raises:
        InvalidInputError: lists everything that is wrong with it.
    """
    errors = _errors(asked)
    if errors:
        raise InvalidInputError(errors)
    temperature, top_p = asked.temperature, asked.top_p or 1.0
    if temperature < LEAST_TEMPERATURE or top_p < LEAST_TOP_P:
        temperature, top_p = 0.0, 1.0
    sampling = Sampling(
        max_tokens=asked.max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=asked.top_k,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        repetition_penalty=asked.repetition_penalty or 1.0,
        stop=tuple(asked.stop),
        seed=asked.seed if asked.HasField("seed") else None,
        logprobs=asked.logprobs if asked.HasField("logprobs") else None,
        constraint=_constraint(asked.constraint),
    )
    return ChatCall(
        asked.model,
        tuple(map(_turn, asked.messages)),
        sampling,
        answers=asked.answers or 1,
        tools=tuple(Tool(it.name, it.description, it.parameters_schema) for it in asked.tools),
        tool_choice=asked.tool_choice or "auto",
        moderation=_requested_moderation(asked),
    )


def _turn(message: ChatMessage) -> Turn:
    calls = tuple(ToolCall(it.id, it.name, it.arguments) for it in message.tool_calls)
    return Turn(message.role, message.content, calls, message.tool_call_id)


def _constraint(asked: ConstraintMessage) -> Constraint | None:
    match asked.WhichOneof("form"):
        case "json_schema":
            return Constraint("json_schema", asked.json_schema)
        case "regex":
            return Constraint("regex", asked.regex)
        case "choice":
            return Constraint("choice", choices=tuple(asked.choice.texts))
        case None:
            return None


def _errors(asked: pb.ChatCall) -> list[str]:
    rules = (
        (
            "model",
            1 <= len(asked.model) <= MAX_NAME_CHARS,
            f"must have 1 to {MAX_NAME_CHARS} characters",
        ),
        ("messages", len(asked.messages) > 0, "must not be empty"),
        ("max_tokens", asked.max_tokens <= MAX_NEW_TOKENS, f"must be at most {MAX_NEW_TOKENS}"),
        ("temperature", 0 <= asked.temperature <= 2, "must be from 0 to 2"),
        ("top_p", 0 <= asked.top_p <= 1, "must be from 0 to 1"),
        ("stop", len(asked.stop) <= MAX_STOPS, f"must be at most {MAX_STOPS} texts"),
        (
            "stop",
            all(1 <= len(text) <= MAX_STOP_CHARS for text in asked.stop),
            f"each text must have 1 to {MAX_STOP_CHARS} characters",
        ),
        ("answers", asked.answers <= MAX_ANSWERS, f"must be at most {MAX_ANSWERS}"),
        ("top_k", asked.top_k < 2**31, "must be below 2^31"),
        ("presence_penalty", abs(asked.presence_penalty) <= MAX_PENALTY, PENALTY_RULE),
        ("frequency_penalty", abs(asked.frequency_penalty) <= MAX_PENALTY, PENALTY_RULE),
        (
            "repetition_penalty",
            not asked.repetition_penalty or 0.01 <= asked.repetition_penalty <= 100,
            "must be from 0.01 to 100",
        ),
        ("tools", len(asked.tools) <= MAX_TOOLS, f"must be at most {MAX_TOOLS}"),
        ("logprobs", not (asked.tools and asked.HasField("logprobs")), "not together with tools"),
        ("logprobs", asked.logprobs <= MAX_ALTERNATIVES, f"must be at most {MAX_ALTERNATIVES}"),
    )
    errors = [f"{field}: {rule}" for field, kept, rule in rules if not kept]
    errors += _mode_errors(asked)
    for number, message in enumerate(asked.messages):
        if message.role not in ROLES:
            errors.append(f"messages.{number}.role: must be one of {', '.join(ROLES)}")
    return errors


def _logprob(token: TokenLogprob) -> TokenLogprobMessage:
    alternatives = [TokenAlternative(token=name, logprob=it) for name, it in token.alternatives]
    return TokenLogprobMessage(token=token.token, logprob=token.logprob, alternatives=alternatives)


def _call(call: ToolCall) -> ToolCallMessage:
    return ToolCallMessage(id=call.id, name=call.name, arguments=call.arguments)


def _end(ended: End, answers: FilteredAnswers) -> pb.ChatEnd:
    end = pb.ChatEnd(
        finish_reason=ended.finish_reason,
        version_id=answers.version_id,
        policy_digest=answers.policy_digest,
        variant=answers.variant,
    )
    if ended.cascade is not None:
        path = asdict(ended.cascade)
        del path["version_id"]
        end.cascade.CopyFrom(CascadePathMessage(**path))
    usage = ended.usage
    if usage is not None:
        end.usage.CopyFrom(TokenUsage(**asdict(usage)))
    return end


def _mode_errors(asked: pb.ChatCall) -> list[str]:
    """What is wrong with how it asks."""
    modes = {"input": asked.moderation.input, "output": asked.moderation.output}
    return [
        f"moderation.{side}: must be score or block"
        for side, mode in modes.items()
        if mode not in pb.ModerationMode.values()
    ]


def _requested_moderation(asked: pb.ChatCall) -> Moderated | None:
    """Which verdicts the caller wants, if any."""
    if not asked.HasField("moderation"):
        return None
    return Moderated(
        blocks_input=asked.moderation.input == pb.MODERATION_MODE_BLOCK,
        blocks_output=asked.moderation.output == pb.MODERATION_MODE_BLOCK,
    )


def _verdicts_message(answers: FilteredAnswers) -> pb.ChatVerdicts | None:
    """What the policy said, when the caller hears of it."""
    if not answers.tells_verdicts:
        return None
    return pb.ChatVerdicts(input=_verdict(answers.input), outputs=map(_verdict, answers.outputs))


def _verdict(judged: ModerationResult) -> pb.ChatVerdict:
    rules = dict.fromkeys((hit.rule_id, hit.category) for hit in judged.hits)
    return pb.ChatVerdict(
        flagged=judged.flagged,
        blocked=judged.blocked,
        rules=[pb.MatchedRule(id=rule_id, category=category) for rule_id, category in rules],
        policy_digest=judged.policy_digest,
        unanswered_judges=judged.unanswered,
    )
