"""Verdicts beside an answer over gRPC, and how a caller asks for them."""

from modelmill.gateway.v1 import gateway_service_pb2 as pb

from modelmill_gateway.domain.chat import Moderated
from modelmill_gateway.domain.verdict import ModerationResult
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers


def mode_errors(asked: pb.ChatCall) -> list[str]:
    """What is wrong with how it asks."""
    modes = {"input": asked.moderation.input, "output": asked.moderation.output}
    return [
        f"moderation.{side}: must be score or block"
        for side, mode in modes.items()
        if mode not in pb.ModerationMode.values()
    ]


def requested_moderation(asked: pb.ChatCall) -> Moderated | None:
    """Which verdicts the caller wants, if any."""
    if not asked.HasField("moderation"):
        return None
    return Moderated(
        blocks_input=asked.moderation.input == pb.MODERATION_MODE_BLOCK,
        blocks_output=asked.moderation.output == pb.MODERATION_MODE_BLOCK,
    )


def verdicts_message(answers: FilteredAnswers) -> pb.ChatVerdicts | None:
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
