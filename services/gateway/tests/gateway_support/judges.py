"""Moderation's judges, who find what is told by a word."""

import asyncio
from typing import Any

from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.judge import Opinion, Window
from modelmill_guard.verdict import Direction
from modelmill_service_kit.errors import PreconditionError, UnavailableError

VILE = "vile"
"""Where a window says it, judges are sure."""


class FakeJudges:
    """The part of a moderation that answers about windows."""

    def forget_windows(self) -> None:
        """Know no policy, and answer at once."""
        self.judged_by: dict[str, CompiledPolicy] = {}
        """Policies whose judges may be asked, by digest."""
        self.windows: list[pb.JudgeWindowRequest] = []
        self.judges_away = False
        self.judges_answer = asyncio.Event()
        self.judges_answer.set()

    def windows_asked(self) -> tuple[tuple[int, str, str], ...]:
        """Start, context and text of the windows since the last call, in the text's order."""
        asked = sorted((it.start, it.context, it.text) for it in self.windows)
        self.windows.clear()
        return tuple(asked)

    async def JudgeWindow(
        self, request: pb.JudgeWindowRequest, context: Any
    ) -> pb.JudgeWindowResponse:
        self.windows.append(request)
        await self.judges_answer.wait()
        policy = self.judged_by.get(request.policy_digest)
        if policy is None:
            raise PreconditionError("no such policy")
        if self.judges_away:
            raise UnavailableError("no opinion")
        judges = {judge.id: judge for judge in policy.judges(Direction.OUTPUT)}
        window = Window(request.start, request.context, request.text)
        said = [Opinion("harassment", 0.9 if VILE in window.text else 0.1)]
        return pb.JudgeWindowResponse(
            matches=[
                pb.RuleMatch(
                    rule_id=match.rule_id,
                    category=match.category,
                    action=pb.Action.ValueType(match.action),
                    start=match.start,
                    end=match.end,
                    score=match.score,
                )
                for match in judges[request.judge_id].matches(window, said)
            ]
        )
