"""A runner inside a host, such as Triton: who asks is told, and who leaves is forgotten."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from modelmill_inference.children.hosted_runner import HostedRunner, Message
from modelmill_inference.children.runner import TokenUpdate
from modelmill_testkit.waiting import eventually

Told = tuple[Message | None, bool]


class MessageSender:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.left = False
        self._told: queue.SimpleQueue[Told] = queue.SimpleQueue()

    def has_left(self) -> bool:
        return self.left

    def tell(self, message: Message | None, *, last: bool) -> None:
        self._told.put((message, last))

    def next(self) -> Told:
        return self._told.get(timeout=60)

    def until_last(self) -> list[Message | None]:
        messages = []
        while True:
            message, last = self.next()
            messages.append(message)
            if last:
                return messages


@dataclass
class CountingRunner:
    """Counts up from 0 for each request; a step waits for its turn, if turns are given out."""

    messages: queue.SimpleQueue[None] | None = None
    left: dict[int, int] = field(default_factory=dict)
    made: dict[int, int] = field(default_factory=dict)
    fails: bool = False

    @property
    def busy(self) -> bool:
        return bool(self.left)

    def add(self, add: dict[str, Any]) -> None:
        if not add["prompt"]:
            raise ValueError("the prompt is empty\nand more")
        self.left[add["id"]] = add["max_new_tokens"]
        self.made[add["id"]] = 0

    def cancel(self, number: int) -> None:
        self.left.pop(number, None)

    def step(self) -> list[TokenUpdate]:
        if self.messages is not None:
            self.messages.get(timeout=60)
        if self.fails:
            raise RuntimeError("out of memory\nat a place")
        updates = []
        for number in list(self.left):
            token = self.made[number]
            self.made[number] += 1
            self.left[number] -= 1
            end = None if self.left[number] else "length"
            updates.append(TokenUpdate(number, [token], end, [[-0.5, []]]))
            if end:
                del self.left[number]
        return updates

    def score(self, prompt: list[int], continuations: list[list[int]]) -> Any:
        def parts() -> Any:
            for _ in continuations:
                yield
            return [[-float(len(prompt)), True] for _ in continuations]

        return parts()

    def embed(self, texts: list[list[int]]) -> list[list[float]]:
        return [[float(len(text))] for text in texts]


@contextmanager
def hosted(runner: CountingRunner, **options: Any) -> Iterator[HostedRunner]:
    host = HostedRunner(runner, {"grammar": True}, **options)
    yield host
    host.close()


def add(tokens: int, number: int = 7, **changes: Any) -> Message:
    body = {"id": number, "prompt": [1], "max_new_tokens": tokens, "may_gather": True}
    return {"add": body | changes}


def row_of(message: Message | None) -> list[Any]:
    assert message is not None
    (row,) = message["tokens"]
    return list(row)


def tokens_in(messages: list[Message | None]) -> list[int]:
    return [token for message in messages for token in row_of(message)[1]]


def test_two_askers_may_use_one_number_and_each_hears_of_its_own_request() -> None:
    first, second = MessageSender(), MessageSender()
    with hosted(CountingRunner()) as host:
        host.take(first, add(3))
        host.take(second, add(5))
        told = first.until_last(), second.until_last()

    assert [tokens_in(messages) for messages in told] == [[0, 1, 2], [0, 1, 2, 3, 4]]
    assert {row_of(message)[0] for messages in told for message in messages} == {7}
    assert row_of(told[1][-1])[2:] == ["length", [[-0.5, []]], 0]


async def test_who_left_is_forgotten_before_the_next_step() -> None:
    messages: queue.SimpleQueue[None] = queue.SimpleQueue()
    runner, left, stays = CountingRunner(messages), MessageSender(), MessageSender()
    with hosted(runner) as host:
        host.take(left, add(100))
        host.take(stays, add(3))
        # A step at a time, each once the one before was made.
        await eventually(lambda: len(runner.left) == 2 or (messages.empty() and messages.put(None)))
        left.left = True
        for _ in range(3):
            messages.put(None)
        messages = stays.until_last()
        while left.next() != (None, True):
            pass

    assert tokens_in(messages) == [0, 1, 2]
    assert runner.left == {}


async def test_a_message_ends_a_request_that_came_before_it_or_comes_after_it() -> None:
    runner, early, late, canceller = (
        CountingRunner(),
        MessageSender(),
        MessageSender(),
        MessageSender(),
    )
    with hosted(runner) as host:
        host.take(early, add(10**9, key="one"))
        early.next()
        host.take(canceller, {"cancel": {"key": "one"}})
        host.take(canceller, {"cancel": {"key": "two"}})
        host.take(late, add(10**9, key="two"))

        assert early.until_last()[-1] is None
        assert late.until_last() == [None]
        assert canceller.next() == canceller.next() == (None, True)
    assert runner.left == {}


async def test_a_runner_that_is_left_ends_what_runs_and_is_given_up_if_nobody_closes_it() -> None:
    sender, leaver = MessageSender(), MessageSender()
    expired: list[bool] = []
    options = {"leave_seconds": 0.01, "on_expired": lambda: expired.append(True)}
    with hosted(CountingRunner(), **options) as host:
        host.take(sender, add(10**9))
        sender.next()
        host.take(leaver, {"leave": {}})

        assert leaver.next() == (None, True)
        assert sender.until_last()[-1] is None
        await eventually(lambda: expired)


def test_side_by_side_tokens_are_gathered_but_the_first_and_last_do_not_wait() -> None:
    senders = [MessageSender(), MessageSender()]
    with hosted(CountingRunner(), piece_seconds=30.0) as host:
        for sender in senders:
            host.take(sender, add(50))
        told = [sender.until_last() for sender in senders]

    for messages in told:
        assert tokens_in(messages) == list(range(50))
        assert len(row_of(messages[0])[1]) == 1
    assert len(told[1]) < 10


def test_an_answer_that_may_stop_at_a_text_is_never_gathered() -> None:
    senders = [MessageSender(), MessageSender()]
    with hosted(CountingRunner(), piece_seconds=30.0) as host:
        for sender in senders:
            host.take(sender, add(20, may_gather=False))
        told = [sender.until_last() for sender in senders]

    assert [len(messages) for messages in told] == [20, 20]


def test_what_the_runner_refuses_is_told_in_one_line_and_harms_nobody() -> None:
    bad, good = MessageSender(), MessageSender()
    with hosted(CountingRunner()) as host:
        host.take(good, add(2))
        host.take(bad, add(2, number=8, prompt=[]))
        refused, answered = bad.until_last(), good.until_last()

    assert refused == [{"rejected": [8, "the prompt is empty"]}]
    assert tokens_in(answered) == [0, 1]


def test_scores_in_parts_and_vectors_at_once_come_under_the_askers_number() -> None:
    scores, vectors = MessageSender(), MessageSender()
    with hosted(CountingRunner()) as host:
        host.take(scores, {"score": {"id": 3, "prompt": [1, 2], "continuations": [[1], [2]]}})
        host.take(vectors, {"embed": {"id": 4, "texts": [[1, 2, 3]]}})

        assert scores.until_last() == [{"result": [3, [[-2.0, True], [-2.0, True]]]}]
        assert vectors.until_last() == [{"result": [4, [[3.0]]]}]


def test_it_tells_what_it_can_and_that_it_lives() -> None:
    sender = MessageSender()
    with hosted(CountingRunner()) as host:
        host.take(sender, {"describe": {}})
        described = sender.until_last()
        host.take(sender, {"ping": {}})

        assert described == [{"loaded": True, "abilities": {"grammar": True}}]
        assert sender.until_last() == [{"tokens": []}]


def test_after_a_failed_step_all_are_told_and_nothing_is_asked_of_the_runner_again() -> None:
    running, later = MessageSender(), MessageSender()
    with hosted(CountingRunner(fails=True)) as host:
        host.take(running, add(5))
        assert running.until_last() == [{"died": "out of memory"}]
        host.take(later, {"ping": {}})
        assert later.until_last() == [{"died": "out of memory"}]


async def test_a_runner_that_nobody_asks_for_long_is_given_up() -> None:
    expired: list[bool] = []
    with hosted(CountingRunner(), expire_seconds=0.01, on_expired=lambda: expired.append(True)):
        await eventually(lambda: expired)


def test_closing_it_tells_those_who_still_wait() -> None:
    sender = MessageSender()
    with hosted(CountingRunner()) as host:
        host.take(sender, add(10**9))
        sender.next()

    assert sender.until_last()[-1] == {"died": "the engine was stopped"}
