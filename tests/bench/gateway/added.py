"""front.*: what stands before a model costs, ours beside LiteLLM (`make bench-gateway`).

Load: chats of 1 KB in and 1 KB out from one client process on loopback; one mock upstream that
answers at once and speaks HTTP and gRPC; contestants take turns, round by round (`sides` says what
each is, and that traces are off in both). `front.*` has the rules off in both, `front.rules.*` has
our default policy on here, inputs and streams, and the same rules in LiteLLM's own content filter.

front.added.p50, .p99: ms that a chat takes more than the same request straight to the upstream
over the path's own protocol, one in flight; of a round the percentile of its requests (2,000 of
ours, 300 of LiteLLM's). Ratio: ours added / LiteLLM's added.
front.rate: requests that 32 in flight bring an answer to, per CPU second of what answers (the
gateway, and moderation should it be asked; LiteLLM's processes). Ratio: ours / LiteLLM's.
front.ttft.p99: ms to the first delta of a stream, more than straight to the upstream; 60 streams a
round, one at a time. Ratio: ours added / LiteLLM's added.
front.streams: the most streams of 64 deltas, 20 ms apart, side by side, of whose gaps at most one
in a hundred is longer than 30 ms, by the steps of a ladder up to 512. Ratio: ours / LiteLLM's.
front.rules.added.p50, .p99, .rate, .ttft.p99: the same with rules on, in rounds of their own. The
first delta is the first text that a client sees: a filter that holds text back is late by that.
The floor is a raw ASGI echo: its figures and ours as multiples of them stand in the notes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.built_model import built_model
from tests.bench.figures import Figures, Goal, Line, Rounds, Unmeasured
from tests.bench.gateway.litellm_proxy import LITELLM
from tests.bench.gateway.sides import contestants
from tests.bench.harness import Group, Run
from tests.bench.rivals import absence, is_installed

FIGURES = ("added.p50", "added.p99", "ttft.p99")
SECONDS, PREPARE_SECONDS = 480.0, 60.0


@dataclass(frozen=True)
class Arm:
    """The entries of rounds with rules, or without."""

    begin: str
    """Of their ids."""
    has_rules: bool
    goals: Mapping[str, Goal | None]
    """By what follows in the id."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all entries."""
        return tuple(f"{self.begin}.{name}" for name in self.goals)

    async def measure(self, run: Run) -> list[Line]:
        """All entries that are wanted, of the same rounds."""
        asked = [entry_id for entry_id in self.ids if entry_id in run.wanted]
        if not is_installed(LITELLM):
            return [Unmeasured(each, absence(LITELLM), is_absence=True) for each in asked]
        model = await built_model(run)
        wanted = frozenset(each.removeprefix(f"{self.begin}.").split(".")[0] for each in asked)
        async with contestants(run, model.int8, wanted, has_rules=self.has_rules) as sides:
            rounds = await run.interleaved(self.begin, sides, seconds=SECONDS, steady=["added.p50"])
        lines = [_added(rounds, self, figure) for figure in FIGURES]
        lines += [_rate(rounds, self)] if "rate" in wanted else []
        lines += [_streams(rounds, self)] if "streams" in wanted else []
        return [line for line in lines if line.id in run.wanted]


def _added(rounds: Rounds, arm: Arm, figure: str) -> Line:
    """What each adds to its own direct path."""
    entry_id = f"{arm.begin}.{figure}"
    if figure not in rounds.turns("ours")[0]:
        return Unmeasured(entry_id, "not asked for")
    pairs = (("ours", "grpc"), ("litellm", "direct"))
    added: dict[str, list[Figures]] = {
        name: [
            {figure: mine - straight}
            for mine, straight in zip(
                rounds.series(name, figure), rounds.series(direct, figure), strict=True
            )
        ]
        for name, direct in pairs
    }
    added["floor"] = [
        {figure: one} for one in rounds.series("floor", figure.replace("ttft", "added"))
    ]
    told = Rounds(added, enforce=False)
    ours, rival, floor = (told.median(name, figure) for name in ("ours", "litellm", "floor"))
    note = (
        f"adds {ours:.2f} ms to {rounds.median('grpc', figure):.2f}; LiteLLM {rival:.2f} ms to "
        f"{rounds.median('direct', figure):.2f}; {ours / floor:.1f} of an echo ({floor:.3f} ms)"
    )
    return told.line(
        entry_id,
        figure,
        unit="ms added",
        against="LiteLLM's added",
        goal=arm.goals[figure],
        note=note,
        over="litellm",
    )


def _rate(rounds: Rounds, arm: Arm) -> Line:
    ours, rival = (rounds.median(name, "requests/s") for name in ("ours", "litellm"))
    floor = rounds.median("floor", "requests/s")
    note = (
        f"{ours:.0f} requests/s; LiteLLM {rounds.median('litellm', 'rate'):.1f} per CPU second, "
        f"{rival:.0f}/s; an echo {floor:.0f}/s, ours {ours / floor:.2f} of it"
    )
    return rounds.line(
        f"{arm.begin}.rate",
        "rate",
        unit="requests per CPU s",
        against="LiteLLM",
        goal=arm.goals["rate"],
        note=note,
        over="litellm",
        floor_figure="added.p50",
    )


def _streams(rounds: Rounds, arm: Arm) -> Line:
    rival = rounds.median("litellm", "streams")
    return rounds.line(
        f"{arm.begin}.streams",
        "streams",
        unit="streams",
        against="LiteLLM",
        goal=None,
        note=f"LiteLLM {rival:.0f}",
        over="litellm",
        floor_figure="added.p50",
    )


PLAIN = Arm(
    "front",
    has_rules=False,
    goals={
        "added.p50": None,
        "added.p99": Goal(1 / 15),
        "ttft.p99": Goal(1 / 10),
        "rate": Goal(15.0, at_least=True),
        "streams": None,
    },
)
RULED = Arm(
    "front.rules",
    has_rules=True,
    goals={"added.p50": None, "added.p99": None, "ttft.p99": None, "rate": None},
)
GROUPS = tuple(Group(arm.ids, arm.measure, SECONDS + PREPARE_SECONDS) for arm in (PLAIN, RULED))
