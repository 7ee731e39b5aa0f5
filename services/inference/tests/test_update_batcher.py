"""When a child tells what its steps brought: seldom, but nothing that somebody waits for late."""

from modelmill_inference.children.runner import TokenUpdate, UpdateBatcher

SECONDS = 0.1


def gathering(*numbers: int, may_gather: bool = True) -> UpdateBatcher:
    """Requests in hand, whose first token was told at 1 s."""
    gathered = UpdateBatcher(SECONDS)
    for number in numbers:
        gathered.expect(number, may_gather=may_gather)
        gathered.add([token(number, 7)])
    gathered.take(1.0)
    return gathered


def token(number: int, *tokens: int, end: str | None = None) -> TokenUpdate:
    return TokenUpdate(number, list(tokens), end, None)


def told(gathered: UpdateBatcher, at: float) -> dict[int, list[int]]:
    return {row.number: row.tokens for row in gathered.take(at)}


def test_tokens_that_come_quickly_are_told_together() -> None:
    gathered = gathering(1, 2)

    gathered.add([token(1, 10), token(2, 20)])
    assert told(gathered, 1.05) == {}
    gathered.add([token(1, 11)])

    assert told(gathered, 1.11) == {1: [10, 11], 2: [20]}
    assert told(gathered, 9.0) == {}


def test_tokens_that_come_slowly_never_wait() -> None:
    gathered = gathering(1, 2)

    gathered.add([token(1, 10)])

    assert told(gathered, 1.2) == {1: [10]}


def test_first_and_last_tokens_and_those_before_a_stop_text_do_not_wait() -> None:
    gathered = gathering(1)
    gathered.expect(2, may_gather=True)
    gathered.expect(3, may_gather=False)
    gathered.add([token(1, 10), token(2, 20), token(3, 30)])
    assert told(gathered, 1.01) == {2: [20], 3: [30]}

    gathered.add([token(1, 11, end="stop"), token(2, 21), token(3, 31)])

    assert told(gathered, 1.02) == {1: [10, 11], 3: [31]}


def test_what_waits_of_a_request_that_is_left_is_told_to_nobody() -> None:
    gathered = gathering(1, 2)
    gathered.add([token(1, 10), token(2, 20)])

    gathered.forget(1)

    assert told(gathered, 2.0) == {2: [20]}


def test_probabilities_stay_beside_their_tokens() -> None:
    gathered = gathering(1, 2)
    for number in (10, 11):
        gathered.add([TokenUpdate(1, [number], None, [[-float(number), []]])])

    (row,) = gathered.take(2.0)

    assert row.tokens == [10, 11]
    assert row.chosen == [[-10.0, []], [-11.0, []]]


def test_without_a_wait_each_step_is_told() -> None:
    gathered = UpdateBatcher(0.0)
    gathered.expect(1, may_gather=True)
    for number in (10, 11):
        gathered.add([token(1, number)])
        assert told(gathered, 1.0) == {1: [number]}
