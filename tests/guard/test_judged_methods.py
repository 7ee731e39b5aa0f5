"""With judges, too, each method gives the same verdict for any split, between real processes.

The judges' model is a function of what it is asked that nobody can guess: a window that is cut, or
has another context, in one method would get another opinion there.
"""

import asyncio
import math
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random

import grpc
import pytest
import pytest_asyncio
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.judge import Judge, Opinion, Window
from modelmill_guard.judged_text import judge_whole
from modelmill_guard.judging import Ruling
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Action, Direction, Verdict

from tests.guard.corpus.rows import POLICY_FILE, corpus
from tests.guard.house import TENANT, House, run_house
from tests.guard.judged import cut, same_verdict

pytestmark = pytest.mark.asyncio(loop_scope="module")

JUDGES = """
judges:
  - {id: strict, severity: high, action: block, directions: both, threshold: 0.5, window: 60,
     classifier: strict-model, labels: {safe: null, unsafe: harassment}}
  - {id: veil, severity: low, action: mask, directions: both, threshold: 0.5, window: 50,
     classifier: veil-model, labels: {safe: null, unsafe: hate}}
  - {id: watch, severity: low, action: flag, directions: both, threshold: 0.5, window: 80,
     classifier: watch-model, labels: {safe: null, unsafe: violence}}
"""
STRICT = 60
HOLDING = (STRICT, 50)
"""Windows of the judges that block or mask."""
HARMFUL_OF = {"strict-model": 12, "veil-model": 4, "watch-model": 3}
"""One window of so many is found harmful by each model."""
TEXTS = 20
AT_ONCE = 5


def is_harmful(model: str, text: str) -> bool:
    return zlib.crc32(f"{model} {text}".encode()) % HARMFUL_OF[model] == 0


def likelihoods(model: str, text: str) -> Sequence[float]:
    """Of "safe" and "unsafe", which is the order of a judge's labels."""
    shares = (0.1, 0.9) if is_harmful(model, text) else (0.9, 0.1)
    return [math.log(share) - 7 for share in shares]


def written() -> str:
    return POLICY_FILE.read_text("utf-8") + JUDGES


def policy() -> CompiledPolicy:
    bundle = compile_policy(parse_policy({"policy.yaml": written()}))
    return CompiledPolicy.from_bundle(bundle.content)


async def ask(judge: Judge, window: Window) -> Ruling:
    harmful = is_harmful(str(judge.classifier), window.context + window.text)
    (category,) = (category for _, category in judge.labels if category is not None)
    return Ruling(judge.matches(window, [Opinion(category, 0.9 if harmful else 0.1)]))


def texts() -> list[str]:
    """Some rows of the corpus in one text: mostly such as no rule touches."""
    random = Random(8)
    harmless = [row.text for row in corpus() if row.rule is None]
    disguised = [row.text for row in corpus() if row.rule is not None]
    return [
        " ".join(
            random.choice(disguised if random.random() < 0.15 else harmless)
            for _ in range(random.randint(2, 8))
        )
        for _ in range(TEXTS)
    ]


def ways(text: str) -> list[list[str]]:
    random = Random(text)
    places = [random.randint(0, len(text)) for _ in range(6)]
    return [[text], list(text), cut(text, places), cut(text, list(range(50, len(text), 50)))]


@pytest.fixture(scope="module")
def policy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("policy") / "policy.yaml"
    file.write_text(written(), "utf-8")
    return file


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, policy_file: Path
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("house")
    async with run_house(folder, policy_file=policy_file) as running:
        running.said.likelihoods = likelihoods
        yield running


def shown_of(wanted: Verdict, text: str) -> str:
    """All that may be shown, by the verdict: what lies in windows that were judged."""
    masked, end = list(text), len(text)
    for match in wanted.matches:
        if match.action is Action.MASK:
            masked[match.start : match.end] = "*" * (match.end - match.start)
        elif match.action is Action.BLOCK:
            known_to = match.start if match.score is None else match.end
            # A window that the text's end cut short comes after all others.
            is_last = match.score is not None and match.end - match.start < STRICT
            judged = [known_to if is_last else known_to // size * size for size in HOLDING]
            end = min(end, match.start, *judged)
    return "".join(masked[:end])


async def test_the_texts_are_worth_it() -> None:
    verdicts = [await judge_whole(policy(), text, Direction.OUTPUT, ask) for text in texts()]
    blocked_by = {
        match.score is None
        for verdict in verdicts
        for match in verdict.matches
        if match.action is Action.BLOCK
    }
    assert blocked_by == {True, False}
    assert {verdict.action for verdict in verdicts} >= {Action.MASK, Action.BLOCK}


@pytest.mark.parametrize("direction", list(Direction))
async def test_check_gives_the_verdict_of_the_library(house: House, direction: Direction) -> None:
    number = pb.DIRECTION_INPUT if direction is Direction.INPUT else pb.DIRECTION_OUTPUT
    for text in texts():
        request = pb.CheckRequest(tenant=TENANT, text=text, direction=number)
        answer = await house.moderation.Check(request, timeout=60)
        same_verdict(await judge_whole(policy(), text, direction, ask), answer.verdict)


async def test_guard_gives_the_same_verdict_and_shows_what_it_allows(house: House) -> None:
    for text in texts():
        wanted = await judge_whole(policy(), text, Direction.OUTPUT, ask)
        for pieces in ways(text):
            shown, verdict = await _guarded(house, pieces)
            assert shown == shown_of(wanted, text)
            same_verdict(wanted, verdict)


async def _guarded(house: House, pieces: list[str]) -> tuple[str, pb.Verdict]:
    call = house.moderation.Guard(timeout=60)
    shown, verdict = "", None
    for number, piece in enumerate(pieces):
        request = pb.GuardRequest(text=piece, end_of_text=number == len(pieces) - 1)
        if number == 0:
            request.tenant, request.direction = TENANT, pb.DIRECTION_OUTPUT
        await call.write(request)
        response = await call.read()
        shown += response.released
        if response.HasField("verdict"):
            verdict = response.verdict
            break
    assert await call.read() is grpc.aio.EOF
    assert verdict is not None
    return shown, verdict


@pytest.mark.parametrize("method", ["chat", "complete", "stream_chat"])
async def test_a_streamed_answer_is_what_the_verdict_allows(house: House, method: str) -> None:
    sent = [(text, pieces) for text in texts() for pieces in ways(text)]
    for start in range(0, len(sent), AT_ONCE):
        batch = sent[start : start + AT_ONCE]
        await asyncio.gather(
            *(
                _say(house, method, harmless(f"ok {start + number}"), *one)
                for number, one in enumerate(batch)
            )
        )


def harmless(prompt: str) -> str:
    """The prompt and something, so that it reaches the engine as it is."""
    return next(
        more
        for more in (f"{prompt} {number}" for number in range(100))
        if not any(is_harmful(model, more) for model in HARMFUL_OF)
    )


async def _say(house: House, method: str, prompt: str, text: str, pieces: list[str]) -> None:
    house.said.scripts[prompt] = pieces
    answer = await getattr(house, method)(prompt)
    wanted = await judge_whole(policy(), text, Direction.OUTPUT, ask)

    assert answer.status == 200, answer.raw
    assert answer.text == shown_of(wanted, text)
    blocked = wanted.action is Action.BLOCK
    assert answer.finish_reason == ("content_filter" if blocked else "stop")


@pytest.mark.parametrize("method", ["chat", "complete", "stream_chat"])
async def test_an_input_is_refused_or_reaches_the_engine_as_the_verdict_shows_it(
    house: House, method: str
) -> None:
    for text in texts():
        wanted = await judge_whole(policy(), text, Direction.INPUT, ask)
        house.said.prompts.clear()
        answer = await getattr(house, method)(text)
        if wanted.action is Action.BLOCK:
            assert answer.status == 400
            assert house.said.prompts == []
        else:
            assert house.said.prompts == [wanted.text]
