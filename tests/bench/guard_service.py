"""guard.check.p99 and policy.change: the moderation service under load, over gRPC.

guard.check.p99. Value: milliseconds that a `Check` of 1 KB of input adds at p99 of a round,
packaged policies, one in flight on one kept channel, from a process to another; ours - floor.
Denominator (the floor): the same call to a bare grpc.aio server that gives the text back
(`echo_peers`).

policy.change. Value: answers that no single policy in force would have given, of all that were
asked for while a tenant's policy changed again and again; 0 is right. Each policy masks a word of
its own, each text has the words of all, and an answer names the bundle that judged it: its text
must be what that bundle makes of the whole text. `Check` and `Guard`, whose text comes in pieces
with a policy change possibly between them, 16 in flight. No floor.
"""

import asyncio
import statistics
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1.moderation_service_pb2_grpc import ModerationServiceStub
from modelmill_guard.bundle import Bundle, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.waiting import eventually

from tests.bench.echo_peers import TEXT
from tests.bench.figures import Entry, Figures, Goal, Line
from tests.bench.gateway_latency import echo_process
from tests.bench.harness import Group, Measure, Run
from tests.bench.moderation_alone import TENANT, Moderation, moderation_alone

CHECK, CHANGE = "guard.check.p99", "policy.change"
CALLS = 3000
CALL_SECONDS, WAIT_SECONDS = 10.0, 60.0
SECONDS = {CHECK: 60.0, CHANGE: 30.0}
WORDS = ("zorbium", "quillon", "glimmer", "velmar")
"""Each is masked by one policy."""
CHANGES, IN_FLIGHT, PIECES = 60, 16, 5
ANSWERS_EACH = 100
"""Between two changes, at least."""
CHANGE_GOAL = Goal(0.0, of_value=True)
SENTENCE = f"We sold {', '.join(WORDS)} and went home."


async def measure(run: Run) -> list[Line]:
    """Both at one service."""
    lines: list[Line] = []
    async with moderation_alone() as moderation:
        if CHECK in run.wanted:
            lines.append(await _check(run, moderation))
        if CHANGE in run.wanted:
            run.say(CHANGE)
            lines.append(await _change(moderation, run.pick(CHANGES, 6)))
    return lines


async def _check(run: Run, moderation: Moderation) -> Line:
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(echo_process("echo_peers"))
        channel = open_channel(f"127.0.0.1:{echo.ports['grpc']}", "none")
        bare = ModerationServiceStub(await stack.enter_async_context(channel))
        calls = run.pick(CALLS, 200)
        contestants = {"ours": _calls(moderation.stub, calls), "floor": _calls(bare, calls)}
        rounds = await run.interleaved(
            CHECK, contestants, seconds=SECONDS[CHECK], steady=["p50", "p99"]
        )
    ours, floor = rounds.median("ours", "p99"), rounds.median("floor", "p99")
    middle = rounds.median("ours", "p50") - rounds.median("floor", "p50")
    note = f"{ours:.3f} ms over {floor:.3f} ms; p50 adds {middle:.3f} ms; packaged policies"
    return rounds.line(
        CHECK,
        "p99",
        unit="ms added",
        against="bare gRPC call",
        goal=None,
        note=note,
        value=ours - floor,
    )


def _calls(stub: Any, calls: int) -> Measure:
    async def measure_once() -> Figures:
        request = pb.CheckRequest(tenant="acme", text=TEXT, direction=pb.DIRECTION_INPUT)
        took = []
        for _ in range(calls):
            began = time.perf_counter()
            await stub.Check(request, timeout=CALL_SECONDS)
            took.append((time.perf_counter() - began) * 1e3)
        cuts = statistics.quantiles(took, n=100)
        return {"p50": cuts[49], "p99": cuts[98]}

    return measure_once


@dataclass
class Seen:
    """What came back while policies changed."""

    by_digest: Counter[str] = field(default_factory=Counter)
    mixed: int = 0

    @property
    def answers(self) -> int:
        return self.by_digest.total() + self.mixed

    def take(self, text: str, digest: str, wanted: dict[str, str]) -> None:
        """An answer, and the bundle that it names."""
        if wanted.get(digest) == text:
            self.by_digest[digest] += 1
        else:
            self.mixed += 1


async def _change(moderation: Moderation, changes: int) -> Line:
    bundles = [_masking(word) for word in WORDS]
    wanted = {
        bundle.digest: SENTENCE.replace(word, "*" * len(word))
        for bundle, word in zip(bundles, WORDS, strict=True)
    }
    await moderation.put_policy(bundles[0])

    async def in_force() -> bool:
        return (await _checked(moderation))[1] == bundles[0].digest

    await eventually(in_force)
    seen, done = Seen(), asyncio.Event()
    asking = [
        asyncio.create_task(_ask(moderation, seen, wanted, done, whole=number % 2 == 0))
        for number in range(IN_FLIGHT)
    ]
    for number in range(1, changes + 1):
        enough = seen.answers + ANSWERS_EACH
        await moderation.put_policy(bundles[number % len(bundles)])
        await eventually(partial(_have_seen, seen, enough, asking), within=WAIT_SECONDS)
    done.set()
    await asyncio.gather(*asking)
    return _line(seen, changes)


def _have_seen(seen: Seen, enough: int, asking: list[asyncio.Task[None]]) -> bool:
    for task in asking:
        if task.done():  # it failed
            task.result()
    return seen.answers >= enough


def _masking(word: str) -> Bundle:
    rule = (
        "{id: one, category: bench, severity: low, action: mask, directions: both, "
        f"keywords: [{word}]}}"
    )
    return compile_policy(parse_policy({word: f"rules:\n- {rule}\n"}))


async def _ask(
    moderation: Moderation,
    seen: Seen,
    wanted: dict[str, str],
    done: asyncio.Event,
    *,
    whole: bool,
) -> None:
    while not done.is_set():
        text, digest = await (_checked(moderation) if whole else _guarded(moderation))
        seen.take(text, digest, wanted)


async def _checked(moderation: Moderation) -> tuple[str, str]:
    request = pb.CheckRequest(tenant=TENANT, text=SENTENCE, direction=pb.DIRECTION_INPUT)
    answer = await moderation.stub.Check(request, timeout=CALL_SECONDS)
    return answer.verdict.text, answer.verdict.policy_digest


async def _guarded(moderation: Moderation) -> tuple[str, str]:
    """Released piece by piece; what was released counts, and the digest at the end."""
    call = moderation.stub.Guard(timeout=CALL_SECONDS)
    size, shown, digest = len(SENTENCE) // PIECES + 1, "", ""
    for start in range(0, len(SENTENCE), size):
        request = pb.GuardRequest(
            text=SENTENCE[start : start + size], end_of_text=start + size >= len(SENTENCE)
        )
        if start == 0:
            request.tenant, request.direction = TENANT, pb.DIRECTION_OUTPUT
        await call.write(request)
        response = await call.read()
        shown += response.released
        digest = response.verdict.policy_digest
    return shown, digest


def _line(seen: Seen, changes: int) -> Line:
    share = seen.mixed / seen.answers
    return Entry(
        id=CHANGE,
        value=float(seen.mixed),
        unit="mixed answers",
        against=f"{seen.answers:,} answers",
        ratio=share,
        goal=CHANGE_GOAL.text("mixed answers"),
        met=CHANGE_GOAL.is_met(value=float(seen.mixed), ratio=share),
        ci95=(share, share),
        note=(
            f"{changes} changes of {len(seen.by_digest)} bundles under load, each answer judged by "
            f"the one it names; {min(seen.by_digest.values()):,} of the one that judged least"
        ),
    )


GROUP = Group((CHECK, CHANGE), measure, sum(SECONDS.values()))
