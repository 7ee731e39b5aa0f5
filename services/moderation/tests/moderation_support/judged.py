"""The service with judges of both kinds, and its third method: given windows are judged."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.judge import Judge, Window
from modelmill_guard.judged_text import JudgedText
from modelmill_guard.judging import Ruling
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Action, Direction, RuleMatch, Verdict
from modelmill_service_kit.grpc_client import domain_errors
from modelmill_testkit.waiting import eventually

from moderation_support.classifier import Classifier, serving_classifier
from moderation_support.safety_server import SafetyServer, serving

SERVICE = "outside"
SHARED_POLICY = Path(__file__).with_name("one_rule.yaml")
NUMBERS = {Direction.INPUT: pb.DIRECTION_INPUT, Direction.OUTPUT: pb.DIRECTION_OUTPUT}


def judges(**changes: Any) -> str:
    """Rules, a model that blocks bombs and a service that masks hate, in a policy's words."""
    common = {"severity": "high", "directions": "both", "threshold": 0.8} | changes
    more = ", ".join(f"{key}: {value}" for key, value in common.items())
    return f"""
max_check_characters: 5000
rules:
- {{id: bob, category: pii, severity: low, action: mask, directions: both, keywords: [bob]}}
- {{id: zap, category: c, severity: low, action: block, directions: both, keywords: [zap]}}
judges:
- {{id: model, classifier: safety, action: block, labels: {{safe: null, bomb: illicit}},
   window: 50, {more}}}
- {{id: service, service: {SERVICE}, action: mask, categories: {{hate: hate, violence: violence}},
   window: 80, {more}}}
"""


def compiled(yaml: str) -> CompiledPolicy:
    """The policy as the gateway has it."""
    bundle = compile_policy(parse_policy({"test": yaml}))
    return CompiledPolicy.from_bundle(bundle.content, bundle.digest)


@dataclass
class Judged:
    """The running service and whom its judges are."""

    moderation: Any
    """As `conftest.Moderation`."""
    classifier: Classifier
    safety: SafetyServer

    async def put(self, yaml: str, *, tenant: str = "acme") -> CompiledPolicy:
        """Put a policy in force and wait until it judges."""
        policy = compiled(yaml)
        await self.moderation.put_policy(tenant, yaml)

        async def judges_now() -> bool:
            return bool(
                (await self.moderation.check("", tenant=tenant)).policy_digest == policy.digest
            )

        await eventually(judges_now)
        return policy

    async def judge_window(
        self, policy: CompiledPolicy, judge_id: str, window: Window, /, **changes: Any
    ) -> pb.JudgeWindowResponse:
        """Ask one judge about one window."""
        fields = {
            "tenant": "acme",
            "policy_digest": policy.digest,
            "direction": pb.DIRECTION_OUTPUT,
            "judge_id": judge_id,
            "start": window.start,
            "context": window.context,
            "text": window.text,
        }
        request = pb.JudgeWindowRequest(**(fields | changes))
        with domain_errors():
            response: pb.JudgeWindowResponse = await self.moderation.stub.JudgeWindow(
                request, timeout=60
            )
        return response

    async def by_hand(
        self, policy: CompiledPolicy, pieces: Sequence[str], direction: Direction
    ) -> tuple[str, Verdict]:
        """Rules here, judges there, as the gateway does it; what may be shown, and the verdict."""

        async def ask(judge: Judge, window: Window) -> Ruling:
            number = NUMBERS[direction]
            said = await self.judge_window(policy, judge.id, window, direction=number)
            return Ruling(tuple(map(_match, said.matches)), not said.unanswered)

        text, shown = JudgedText(policy, direction, ask), ""
        try:
            for piece in pieces:
                released = await text.push(piece)
                shown += released.text
                if released.verdict is not None:
                    return shown, released.verdict
            released = await text.finish()
        finally:
            await text.close()
        assert released.verdict is not None
        return shown + released.text, released.verdict


def _match(match: pb.RuleMatch) -> RuleMatch:
    score = match.score if match.HasField("score") else None
    return RuleMatch(
        match.rule_id, match.category, Action(match.action), match.start, match.end, score
    )


@asynccontextmanager
async def judged_moderation(
    start: Callable[..., AbstractAsyncContextManager[Any]],
    *,
    service_seconds: float = 5,
    classifier_seconds: float = 5,
) -> AsyncIterator[Judged]:
    """The service beside an inference and a content-safety service."""
    classifier, safety = Classifier(), SafetyServer()
    async with serving_classifier(classifier) as address, serving(safety) as url:
        services = {SERVICE: {"url": url, "attempts": 1, "timeout_seconds": service_seconds}}
        async with start(
            policy_path=SHARED_POLICY,
            inference_address=address,
            classifier_seconds=classifier_seconds,
            safety_services=services,
        ) as moderation:
            yield Judged(moderation, classifier, safety)
