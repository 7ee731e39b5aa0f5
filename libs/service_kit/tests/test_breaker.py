"""The breaker's rules, for any order of calls, outcomes and time."""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule
from modelmill_service_kit.breaker import Breaker

FAILURES, SECONDS = 3, 10.0


class BreakerMachine(RuleBasedStateMachine):
    """Beside the breaker, what its calls and outcomes should have made of it."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker(failures=FAILURES, seconds=SECONDS, clock=lambda: self.now)
        self.epoch = 0
        self.in_a_row = 0
        self.open_until: float | None = None
        self.trials = 0

    @rule(target=calls)
    def call(self) -> object:
        expected = self.open_until is None or (self.now >= self.open_until and not self.trials)
        period = self.breaker.admit()
        assert (period is not None) == expected
        if period is None:
            return multiple()
        if self.open_until is not None:
            self.trials += 1
        return (period, self.epoch)

    @rule(seconds=st.sampled_from([0.5, 5.0, SECONDS, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(call=calls)
    def succeed(self, call: tuple[int, int]) -> None:
        period, epoch = call
        self.breaker.succeeded(period)
        if epoch != self.epoch:
            return
        self.in_a_row = 0
        if self.open_until is not None:
            self._turn(None)

    @rule(call=calls, asked=st.sampled_from([0.0, 3.0, 20.0]))
    def fail(self, call: tuple[int, int], asked: float) -> None:
        period, epoch = call
        opened = self.breaker.failed(period, at_least_seconds=asked)
        expected = False
        if epoch == self.epoch:
            self.in_a_row += 1
            expected = bool(self.trials) or self.in_a_row >= FAILURES
            if expected:
                self._turn(self.now + max(SECONDS, asked))
        assert opened is expected

    @rule(call=calls)
    def leave(self, call: tuple[int, int]) -> None:
        period, epoch = call
        self.breaker.abandoned(period)
        if epoch == self.epoch:
            self.trials = 0

    @invariant()
    def says_how_it_stands(self) -> None:
        assert self.breaker.is_closed == (self.open_until is None)
        assert self.breaker.remaining_seconds == max((self.open_until or 0.0) - self.now, 0.0)

    @invariant()
    def never_two_trials(self) -> None:
        assert self.trials <= 1

    def _turn(self, open_until: float | None) -> None:
        self.epoch += 1
        self.in_a_row, self.trials, self.open_until = 0, 0, open_until


TestBreaker = BreakerMachine.TestCase
