"""console.*: how much the web console loads, how fast it opens, and whether it shows what is so.

    python -m tests.bench.console [--only GROUP ...] [--keep]

Chromium reads the built console (`make console`) beside a live gateway with faked peers.

- `console.bytes.*`: compressed bytes of what the first view loads, and of everything.
- `console.opening`: seconds from the address to a first view that has loaded all it asks for.
- `console.scale.*`: of all pages, beside 500 jobs of 100,000 points each, 1,000 model versions, 200
  datasets and an evaluation of 10,000 rows, the most requests that a page makes, and the seconds
  until the slowest is loaded. Among them are ten trainings side by side.
- `console.points`: a training reports points while its page is reloaded, is offline for 30 s, has
  its gateway process killed and started anew, or is opened a second time; then the points that
  pages show equal those that were reported. Five of each.
- `console.hostile`: of texts that run where a page takes them for HTML, those that did not, as
  names of models and files, errors and logs of jobs, answers, rows, and questions and answers of
  evaluations; `console.breaches`: what Chromium complains of meanwhile, as a breach of the page's
  policy.
- `console.journeys`, `console.axe`: the browser tests of those names (`console_suites`).

Times are of an idle machine; the other figures are none. `--keep` writes deploy/bench/console.json.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JOB_STATUS_RUNNING, JobError
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.subjects import MODEL_READY
from modelmill_testkit.ports import free_port
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.bench.console_suites import suite_entries
from tests.bench.console_texts import HOSTILE_TEXTS, TRIGGERS
from tests.bench.figures import Entry, all_of
from tests.bench.kept_entries import run_groups
from tests.browser.console_charts import chart, figures_shown
from tests.browser.console_evaluations import evaluate, evaluated_row, evaluated_rows
from tests.browser.console_place import (
    OPERATOR,
    OPERATOR_PLACES,
    PLACES,
    complaints,
    go_to,
    settled,
)
from tests.browser.live_gateway import BUILT, TENANT, LiveGateway, built_console, live_gateway
from tests.browser.watched_page import WatchedPage, running_chromium

from gateway_support.process import running  # isort: skip - a path of `live_gateway`'s

RESULT = Path("deploy/bench/console.json")
FIRST_BYTES, ALL_BYTES = 200_000, 600_000
MOST_SECONDS, MOST_REQUESTS = 1.0, 5
OPENINGS, LOOKS = 11, 5
JOBS, POINTS, VERSIONS, DATASETS = 500, 100_000, 1_000, 200
ROWS, COMPARED = 10_000, 10
TRIALS, OFFLINE_SECONDS = 5, 30.0
WAIT_MS = 60_000.0
VIEW = {"width": 1280, "height": 900}


@contextmanager
def _site() -> Iterator[tuple[LiveGateway, Browser]]:
    with (
        TemporaryDirectory(prefix="console-") as folder,
        live_gateway(Path(folder), console_folder=built_console()) as gateway,
        running_chromium() as browser,
    ):
        yield gateway, browser


@contextmanager
def _page(browser: Browser) -> Iterator[WatchedPage]:
    context = browser.new_context(viewport=VIEW, accept_downloads=True)  # type: ignore[arg-type]
    try:
        yield WatchedPage(context.new_page())
    finally:
        context.close()


def _address(gateway: LiveGateway, url: str = "", **claims: str) -> str:
    return f"{url or gateway.url}/console/index.html#token={gateway.token(**claims)}"


def _at_most(name: str, value: float, unit: str, goal: float, note: str) -> Entry:
    ratio = value / goal
    return Entry(
        *(name, value, unit, "the goal", ratio, f"at most {goal:g}", value <= goal),
        *((ratio, ratio), note),
    )


def opening_entries() -> list[Entry]:
    """Bytes and seconds of the first view."""
    seconds: list[float] = []
    with _site() as (gateway, browser):
        for _ in range(OPENINGS):
            with _page(browser) as watched:
                began = time.perf_counter()
                watched.open_address(_address(gateway), wait_until="commit")
                settled(watched.page)
                seconds.append(time.perf_counter() - began)
                names = {
                    each.partition("/console/")[2].partition("#")[0] for each in watched.requests
                }
    first = sum(_size(BUILT / f"{name}.gz") for name in names if name)
    whole = sum(_size(file) for file in BUILT.rglob("*.gz"))
    spread = f"{min(seconds):.2f} to {max(seconds):.2f} s, {OPENINGS} openings, nothing cached"
    return [
        _at_most("console.bytes.first", first, "bytes", FIRST_BYTES, f"{len(names)} files"),
        _at_most("console.bytes.all", whole, "bytes", ALL_BYTES, "of the wheel"),
        _at_most("console.opening", statistics.median(seconds), "s", MOST_SECONDS, spread),
    ]


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def scale_entries() -> list[Entry]:
    """Requests and seconds of each page beside much of everything."""
    with _site() as (gateway, browser):
        places = (*PLACES, *_fill(gateway), "/models/mv-0500")
        found = _looks(gateway, browser, places)
        found |= _looks(gateway, browser, OPERATOR_PLACES, **OPERATOR)
    most = max(found, key=lambda place: found[place][0])
    slowest = max(found, key=lambda place: found[place][1])
    told = "; ".join(f"{place}: {asked}, {s:.2f} s" for place, (asked, s) in found.items())
    beside = f"beside {JOBS} jobs of {POINTS} points, {VERSIONS} versions, {DATASETS} datasets"
    note = f"{told}; {beside}, {ROWS} rows of an evaluation"
    return [
        _at_most("console.scale.requests", found[most][0], "requests", MOST_REQUESTS, note),
        _at_most("console.scale.seconds", found[slowest][1], "s", MOST_SECONDS, f"{slowest}"),
    ]


def _looks(
    gateway: LiveGateway, browser: Browser, places: Sequence[str], **claims: str
) -> dict[str, tuple[int, float]]:
    """Requests and seconds of each page, as somebody with these claims opens it."""
    with _page(browser) as watched:
        watched.open_address(_address(gateway, **claims), wait_until="load")
        settled(watched.page)
        return {place: _looked_at(watched, place, places) for place in places}


def _fill(gateway: LiveGateway) -> tuple[str, ...]:
    """Places of a job and of a dataset among many, of ten jobs together, and of an evaluation."""
    losses = [3.0 - 2.5 * step / POINTS for step in range(POINTS)]
    for number in range(VERSIONS):
        _announce(gateway, f"mv-{number:04}", f"model-{number:04}")
    datasets = [gateway.make_dataset({"rows_in": 9}) for _ in range(DATASETS)]
    jobs = [gateway.order_training() for _ in range(JOBS)]
    for job_id in jobs:
        gateway.save_losses(job_id, losses)
    evaluation = evaluate(gateway, evaluated_rows(ROWS))
    compared = ",".join(jobs[:COMPARED])
    return (
        *(f"/jobs/{jobs[JOBS // 2]}", f"/datasets/{datasets[DATASETS // 2]}"),
        *(f"/jobs/compare?ids={compared}", f"/jobs/{evaluation}"),
        f"/jobs/{evaluation}?wrong=true&differs=true&text=9996",
    )


def _announce(gateway: LiveGateway, version_id: str, name: str) -> None:
    ready = ModelReady(version_id=version_id, tenant=TENANT, name=name, form="safetensors")
    ready.created_at.GetCurrentTime()
    gateway.run(gateway.house.bus.publish(MODEL_READY, ready))


def _looked_at(watched: WatchedPage, place: str, places: Sequence[str]) -> tuple[int, float]:
    """The most requests, and the median of seconds, of opening a page again and again."""
    page, other = watched.page, next(each for each in places if each not in (place, "/"))
    asked: list[int] = []
    seconds: list[float] = []
    for _ in range(LOOKS):
        go_to(page, other)
        watched.requests.clear()
        began = time.perf_counter()
        go_to(page, place)
        if place.startswith(("/jobs/ftjob", "/jobs/compare?")):
            expect(chart(page, "Loss")).to_be_visible(timeout=WAIT_MS)
        seconds.append(time.perf_counter() - began)
        asked.append(len([each for each in watched.requests if "/v1/" in each]))
    return max(asked), statistics.median(seconds)


class KilledGateway:
    """A gateway process on a port of its own, beside the house, which can be killed."""

    def __init__(self, gateway: LiveGateway) -> None:
        self._gateway, self._port = gateway, free_port()
        self._stack = AsyncExitStack()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._gateway.run(self._start())

    def kill(self) -> None:
        """End it at once."""
        self._service.process.kill()
        self._gateway.run(self._service.ended())

    def close(self) -> None:
        """End it, if it runs."""
        self._gateway.run(self._stack.aclose())

    async def _start(self) -> None:
        place = {"http_address": f"127.0.0.1:{self._port}", "console_folder": str(built_console())}
        service, _ = await self._stack.enter_async_context(running(self._gateway.house, **place))
        self._service = service


Trouble = Callable[["Training"], None]


class Training:
    """A training that reports, and the page that shows it."""

    def __init__(self, gateway: LiveGateway, process: KilledGateway, page: Page) -> None:
        self.gateway, self.process, self.page = gateway, process, page
        self.others: list[Page] = []
        self._reported: list[list[float]] = []
        self.job_id = gateway.order_training()
        gateway.say_state(self.job_id, JOB_STATUS_RUNNING)

    def report(self, count: int) -> None:
        """Report so many steps more."""
        for step in range(len(self._reported) + 1, len(self._reported) + count + 1):
            figures = {"learning_rate": 0.001 / step, "loss": 3.0 / step}
            self.gateway.say_step(self.job_id, step, tokens_per_second=100.0 + step, **figures)
            self._reported.append([step, *figures.values(), 100.0 + step])

    def open(self, page: Page) -> None:
        """The page of the job, with what was reported so far."""
        page.goto(_address(self.gateway, self.process.url))
        go_to(page, f"/jobs/{self.job_id}")
        self.wait(page)

    def wait(self, page: Page) -> None:
        """Wait until a page has as many points as there are."""
        expected = str(len(self._reported))
        expect(chart(page, "Loss")).to_have_attribute("data-points", expected, timeout=WAIT_MS)

    def is_shown(self) -> bool:
        """Whether each page has exactly what was reported."""
        pages = (self.page, *self.others)
        for page in pages:
            self.wait(page)
        return all(figures_shown(page) == self._reported for page in pages)


def _reload(training: Training) -> None:
    training.report(3)
    training.page.reload()
    training.report(2)


def _offline(training: Training) -> None:
    training.page.context.set_offline(True)
    training.report(5)
    training.page.wait_for_timeout(OFFLINE_SECONDS * 1e3)
    training.page.context.set_offline(False)


def _killed(training: Training) -> None:
    training.process.kill()
    training.report(5)
    training.process.start()


def _second(training: Training) -> None:
    browser = training.page.context.browser
    assert browser is not None, "pages have one"
    other = browser.new_context(accept_downloads=True).new_page()
    training.others.append(other)
    training.report(3)
    training.open(other)
    training.report(2)


TROUBLES: Mapping[str, Trouble] = {
    "reload": _reload,
    "offline": _offline,
    "gateway killed": _killed,
    "second browser": _second,
}


def points_entries() -> list[Entry]:
    """Whether pages show every point after trouble."""
    right = dict.fromkeys(TROUBLES, 0)
    with _site() as (gateway, browser):
        process = KilledGateway(gateway)
        process.start()
        try:
            for name in [name for name in TROUBLES for _ in range(TRIALS)]:
                right[name] += _is_whole_after(TROUBLES[name], gateway, process, browser)
        finally:
            process.close()
    note = ", ".join(f"{name}: {count} of {TRIALS}" for name, count in right.items())
    whole = TRIALS * len(TROUBLES)
    total = sum(right.values())
    return [all_of("console.points", total, whole, "trials", least=whole, note=note)]


def _is_whole_after(
    trouble: Trouble, gateway: LiveGateway, process: KilledGateway, browser: Browser
) -> bool:
    with _page(browser) as watched:
        training = Training(gateway, process, watched.page)
        training.report(10)
        training.open(watched.page)
        try:
            trouble(training)
            return training.is_shown()
        except AssertionError as error:
            print(error)
            return False
        finally:
            for other in training.others:
                other.context.close()


def hostile_entries() -> list[Entry]:
    """Whether texts of others run."""
    with _site() as (gateway, browser), _page(browser) as watched:
        page = watched.page
        dangerous = sum(_runs_as_html(page, text) for text in HOSTILE_TEXTS)
        watched.open_address(_address(gateway), wait_until="load")
        ran: set[str] = set()
        for number, text in enumerate(HOSTILE_TEXTS):
            ran |= _shown_everywhere(gateway, page, number, text)
        ran |= _previewed(gateway, page)
        ran |= _evaluated(gateway, page)
        breaches = complaints(watched)
    safe = len(HOSTILE_TEXTS) - len(ran)
    note = (
        f"{dangerous} of them run in a page that is made of the text. Shown each as a model's name,"
        " a job's error, remedy and log, an answer, a question and an answer of an evaluation, and"
        " rows of a file so named"
    )
    return [
        all_of("console.hostile", safe, len(HOSTILE_TEXTS), "texts", least=200, note=note),
        Entry(
            *("console.breaches", len(breaches), "complaints", "none", 1.0, "0", not breaches),
            *((1.0, 1.0), f"of Chromium, of the policy and of scripts: {breaches[:3]}"),
        ),
    ]


def _runs_as_html(page: Page, text: str) -> bool:
    """The control: whether it runs where nothing keeps it from that."""
    page.goto("about:blank")
    page.set_content(text)
    page.wait_for_timeout(20)
    return page.evaluate("window.ran") is not None


def _previewed(gateway: LiveGateway, page: Page) -> set[str]:
    """All texts, if one ran as a row or as a name of a file."""
    turns = [{"role": "user", "content": text} for text in HOSTILE_TEXTS]
    gateway.house.data_prep.busy = False
    gateway.house.data_prep.shown_row = json.dumps({"messages": turns})
    for name in TRIGGERS:
        go_to(page, "/datasets")
        go_to(page, "/datasets/new")
        file = FilePayload(name=f"{name}.jsonl", mimeType="text/plain", buffer=b'{"word": "a"}\n')
        page.get_by_label("File with rows").set_input_files(file)
        expect(page.locator("tbody .text")).to_have_count(len(turns), timeout=WAIT_MS)
    return {*HOSTILE_TEXTS} if page.evaluate("window.ran") is not None else set()


def _evaluated(gateway: LiveGateway, page: Page) -> set[str]:
    """All texts, if one ran as a question or an answer of an evaluation."""
    rows = [evaluated_row(n, text, right=False) for n, text in enumerate(HOSTILE_TEXTS, 1)]
    go_to(page, f"/jobs/{evaluate(gateway, rows)}")
    shown = page.get_by_role("region", name="Rows", exact=True).locator("tbody tr")
    while page.get_by_role("button", name="Load more").count():
        before = shown.count()
        page.get_by_role("button", name="Load more").click()
        expect(shown.nth(before)).to_be_attached(timeout=WAIT_MS)
    expect(shown).to_have_count(len(rows))
    return {*HOSTILE_TEXTS} if page.evaluate("window.ran") is not None else set()


def _shown_everywhere(gateway: LiveGateway, page: Page, number: int, text: str) -> set[str]:
    """The text, if it ran in one of the pages that show it."""
    version_id = f"mv-h{number}"
    _announce(gateway, version_id, text)
    job_id = gateway.order_training()
    error = JobError(code="x", message=text, remedy=text, log_tail=text)
    gateway.say_state(job_id, JOB_STATUS_FAILED, error=error)
    gateway.house.inference.pieces = [text]
    for place in (f"/models/{version_id}", f"/jobs/{job_id}", "/playground"):
        go_to(page, place)
    page.get_by_label("Message").fill("say something")
    page.get_by_label("Message").press("Control+Enter")
    expect(page.locator("article.assistant code").last).to_be_visible()
    return {text} if page.evaluate("window.ran") is not None else set()


GROUPS = {
    "opening": opening_entries,
    "scale": scale_entries,
    "points": points_entries,
    "hostile": hostile_entries,
    "suites": suite_entries,
}


if __name__ == "__main__":
    sys.exit(run_groups("tests.bench.console", GROUPS, RESULT))
