"""A browser, and what it reads: a report with something in every chapter, and the console."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from modelmill_data_prep.adapters.local_pool import LocalPool
from modelmill_data_prep.domain.dataset_plan import plan_dataset
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.source_files import SourceFile
from modelmill_data_prep.prepare_dataset import PrepareDataset
from playwright.sync_api import Browser, Page, expect

from tests.browser.live_gateway import LiveGateway, built_console, live_gateway
from tests.browser.watched_page import CHROMIUM, WatchedPage, running_chromium

HERE = Path(__file__).parent
HOSTILE = (
    "<script>window.ran = 1</script>",
    "</details></td></table><img src=x onerror='window.ran = 2'>",
    "</title></style><svg onload='window.ran = 3'><rect width='9'/></svg>",
    "\" onmouseover='window.ran = 4' x=\"",
    "<iframe src='https://example.com/'></iframe><a href='javascript:window.ran = 5'>x</a>",
    "{{ 7 * 7 }} &lt;b&gt; <link rel=stylesheet href=https://example.com/a.css>",
)
"""Each runs, loads or draws something where it is not escaped."""

SPEC = {
    "name": "<script>window.ran = 6</script></title><img src=x onerror='window.ran = 7'>",
    "mapping": {"user_template": "{q}", "answer_template": "{a}"},
    "filter": {"preset": "standard", "thresholds": {"characters.min": 60}},
    "entities": {"actions": {"*": "mask", "phone": "report"}},
    "duplicates": {
        "near_threshold": 0.8,
        "evaluation_file_ids": ["file-1", "file-2"],
        "contamination_threshold": 0.7,
    },
}
PATIENCE_MS = 60_000
"""Two browsers on two busy cores draw late."""
LAST_CONNECTIONS = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <(function _SelectorTransport|socket.socket)"
    ":pytest.PytestUnraisableExceptionWarning"
)
"""A browser connects until the last moment of a gateway, whose loop ends with what it accepted."""
_AS_LETTERS = str.maketrans("0123456789", "aeiounrstl")


def asked(n: int) -> str:
    """A question like no other one, with a hostile text in it."""
    words = (str((n + 7) * 7919 * (k + 11) % 99991).translate(_AS_LETTERS) for k in range(36))
    return f"Question {n}: {' of the '.join(words)}: {HOSTILE[n % len(HOSTILE)]}"


def similar(question: str) -> str:
    """The question with some other letters: too few to be the same, too many to be another."""
    places = range(20, 400, 36)
    return "".join("x" if place in places else one for place, one in enumerate(question))


def evaluation_rows(first: int) -> Iterator[str]:
    """Some of the questions, from that one on."""
    for n in range(first, first + 25):
        yield json.dumps({"q": asked(n), "a": "kept secret"})


def rows() -> Iterator[str]:
    """Kept, dropped, quarantined, equal and similar rows, in two languages, with hostile texts in
    all."""
    for n in range(600):
        hostile = HOSTILE[n % len(HOSTILE)]
        question = asked(n)
        yield json.dumps({"q": question, "a": hostile})
        if n % 3 == 0:
            yield json.dumps({"q": similar(question), "a": hostile})
        if n % 5 == 0:
            yield json.dumps({"q": question, "a": hostile})
            yield json.dumps({"q": hostile, "a": str(n)})
            yield json.dumps({"q": question, hostile: "no answer"})
            yield f"{hostile} is no JSON {n}"
            address = f"write to ann{n}@company.com or call 13812345678"
            yield json.dumps(
                {"q": f"第 {n} 个问题：这条河流有多长，从哪里来，到哪里去？{address}", "a": "是"}
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--both-languages`, for `make console-journeys`."""
    help = "make each journey through the console in English and in Chinese"
    parser.addoption("--both-languages", action="store_true", help=help)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The gateway of these tests runs in a thread, not as a process, whose end closes all."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(LAST_CONNECTIONS)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the dataset."""
    root = tmp_path_factory.mktemp("report")
    contents = {"rows": rows(), "first": evaluation_rows(100), "second": evaluation_rows(200)}
    source, *evaluation = [
        SourceFile(_written(root / f"{name}.jsonl", lines), "jsonl")
        for name, lines in contents.items()
    ]
    request = {"spec": SPEC, "pseudonym_key": "00" * 32}
    with LocalPool(request, 1) as pool:
        work = PrepareDataset(pool, lambda *_: None, ReadLimits())
        work(source, evaluation, plan_dataset(SPEC), root / "dataset")
    return root / "dataset"


def _written(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def report(folder: Path) -> dict[str, Any]:
    """Its numbers."""
    numbers: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return numbers


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail("there is no chromium: apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with running_chromium() as browser:
        new_page = browser.new_page

        def patient_page(**options: Any) -> Page:
            page = new_page(**options)
            page.set_default_timeout(PATIENCE_MS)
            return page

        browser.new_page = patient_page  # type: ignore[method-assign]
        yield browser


@pytest.fixture
def watched(browser: Browser) -> Iterator[WatchedPage]:
    """An empty page."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield WatchedPage(page)
    page.close()


@pytest.fixture
def opened(watched: WatchedPage, folder: Path) -> WatchedPage:
    """The report."""
    watched.open(folder / "report.html")
    return watched


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """One as it runs, with the console."""
    folder = tmp_path_factory.mktemp("gateway")
    with live_gateway(folder, console_folder=built_console()) as running:
        yield running
