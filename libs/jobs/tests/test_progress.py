"""The pace of progress, whatever the broker's."""

import asyncio

from modelmill_jobs.progress import INTERVAL_SECONDS, ProgressReporter, Report


class SlowBus:
    """Takes 30 ms for each message, longer than the next report takes to come."""

    def __init__(self) -> None:
        self.published = []

    async def publish(self, _subject, body) -> int:
        await asyncio.sleep(0.03)
        self.published.append(body)
        return len(self.published)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def report_for_a_second(reporter: ProgressReporter) -> float:
    """How long it took: a second, or more on a busy machine."""
    began = asyncio.get_running_loop().time()
    running = asyncio.create_task(reporter.run())
    for done in range(1, 101):
        reporter.report(Report("chain", done, 100, "step", {f"at_{done % 10}": done}))
        await asyncio.sleep(0.01)
    running.cancel()
    await reporter.flush()
    return asyncio.get_running_loop().time() - began


async def test_a_slow_broker_gets_at_most_four_a_second_the_last_and_every_figure():
    bus = SlowBus()
    lasted = await report_for_a_second(ProgressReporter(bus, "ftjob-1", fence=1))

    assert 3 <= len(bus.published) <= 3 + lasted / INTERVAL_SECONDS
    assert bus.published[-1].done == 100
    # Ten names take turns; what a replaced report measured comes with the one after it.
    told = 0
    for message in bus.published:
        measured = {f"at_{done % 10}": done for done in range(told + 1, message.done + 1)}
        assert dict(message.metrics) == measured
        told = message.done


async def test_each_phase_is_heard_of_and_time_left_comes_from_its_own_rate():
    bus = SlowBus()
    reporter = ProgressReporter(bus, "ftjob-1", fence=1)
    reporter.report(Report("load"))
    reporter.report(Report("train", 50, 100))
    reporter.report(Report("train", 60, 100))
    reporter.report(Report("evaluate", 1, 2, eta_seconds=7.0))
    await reporter.flush()
    loaded, trained, evaluated = bus.published

    assert (loaded.phase, loaded.eta_seconds) == ("load", -1)
    assert trained.done == 60
    assert evaluated.eta_seconds == 7


async def test_time_left_is_reckoned_from_where_the_phase_began():
    bus, clock = SlowBus(), Clock()
    reporter = ProgressReporter(bus, "ftjob-1", fence=1, clock=clock)
    reporter.report(Report("train", 50, 100))
    clock.now = 0.5
    reporter.report(Report("train", 60, 100))
    await reporter.flush()

    assert bus.published[-1].eta_seconds == 2
