"""front.*: what stands before a model costs, ours beside LiteLLM (`make bench-gateway`).

Load: chats of 1 KB in and 1 KB out from one client process on loopback; one mock upstream that
answers at once and speaks HTTP and gRPC; contestants take turns, round by round (`sides` says what
each is, and that traces and rules are off in both).

front.added.p50, .p99: ms that a chat takes more than the same request straight to the upstream
over the path's own protocol, one in flight; of a round the percentile of its requests (2,000 of
ours, 300 of LiteLLM's). Ratio: ours added / LiteLLM's added.
front.rate: requests that 32 in flight bring an answer to, per CPU second of what answers (the
gateway, and moderation should it be asked; LiteLLM's processes). Ratio: ours / LiteLLM's.
front.ttft.p99: ms to the first delta of a stream, more than straight to the upstream; 60 streams a
round, one at a time. Ratio: ours added / LiteLLM's added.
front.streams: the most streams of 64 deltas, 20 ms apart, side by side, of whose gaps at most one
in a hundred is longer than 30 ms, by the steps of a ladder up to 512. Ratio: ours / LiteLLM's.
The floor is a raw ASGI echo: its figures and ours as multiples of them stand in the notes.
"""

from collections.abc import Mapping

from tests.bench.built_model import built_model
from tests.bench.figures import Figures, Goal, Line, Rounds, Unmeasured
from tests.bench.front_door.litellm_proxy import LITELLM
from tests.bench.front_door.sides import contestants
from tests.bench.harness import Group, Run
from tests.bench.rivals import absence, is_installed

ADDED = {"front.added.p50": "added.p50", "front.added.p99": "added.p99"}
TTFT = {"front.ttft.p99": "ttft.p99"}
RATE, STREAMS = "front.rate", "front.streams"
SECONDS, PREPARE_SECONDS = 480.0, 60.0
GOALS: Mapping[str, Goal | None] = {
    "front.added.p50": None,
    "front.added.p99": Goal(1 / 15),
    "front.ttft.p99": Goal(1 / 10),
    RATE: Goal(15.0, at_least=True),
    STREAMS: None,
}


async def measure(run: Run) -> list[Line]:
    """All entries that are wanted, of the same rounds."""
    if not is_installed(LITELLM):
        return [
            Unmeasured(entry_id, absence(LITELLM), is_absence=True)
            for entry_id in GROUP.ids
            if entry_id in run.wanted
        ]
    model = await built_model(run)
    wanted = frozenset(entry_id.split(".")[1] for entry_id in run.wanted & set(GROUP.ids))
    async with contestants(run, model.int8, wanted) as sides:
        rounds = await run.interleaved("front", sides, seconds=SECONDS, steady=["added.p50"])
    lines = [_added(rounds, entry_id, figure) for entry_id, figure in (ADDED | TTFT).items()]
    lines += [_rate(rounds)] if "rate" in wanted else []
    lines += [_streams(rounds)] if "streams" in wanted else []
    return [line for line in lines if line.id in run.wanted]


def _added(rounds: Rounds, entry_id: str, figure: str) -> Line:
    """What each adds to its own direct path."""
    if entry_id in TTFT and figure not in rounds.turns("ours")[0]:
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
        goal=GOALS[entry_id],
        note=note,
        over="litellm",
    )


def _rate(rounds: Rounds) -> Line:
    ours, rival = (rounds.median(name, "requests/s") for name in ("ours", "litellm"))
    floor = rounds.median("floor", "requests/s")
    note = (
        f"{ours:.0f} requests/s; LiteLLM {rounds.median('litellm', 'rate'):.1f} per CPU second, "
        f"{rival:.0f}/s; an echo {floor:.0f}/s, ours {ours / floor:.2f} of it"
    )
    return rounds.line(
        RATE,
        "rate",
        unit="requests per CPU s",
        against="LiteLLM",
        goal=GOALS[RATE],
        note=note,
        over="litellm",
        floor_figure="added.p50",
    )


def _streams(rounds: Rounds) -> Line:
    rival = rounds.median("litellm", "streams")
    return rounds.line(
        STREAMS,
        "streams",
        unit="streams",
        against="LiteLLM",
        goal=None,
        note=f"LiteLLM {rival:.0f}",
        over="litellm",
        floor_figure="added.p50",
    )


GROUP = Group((*ADDED, *TTFT, RATE, STREAMS), measure, SECONDS + PREPARE_SECONDS)
