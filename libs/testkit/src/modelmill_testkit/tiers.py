"""A plugin of pytest: every test is in exactly one tier, by what its code and its fixtures start.

`quick` starts no process, `check` only servers of `shared_nats`, `test` what it needs. `journeys`
walk whole ways of users on a stack: examples, pages, recipes. `drills` kill and flood whole
services. `--tier` selects a tier with those before it. In the first two a guard makes the start of
a process an error, so that a test in the wrong tier fails.
"""

import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from modelmill_testkit.heavy_imports import HEAVY, SDKS, HeavyImports
from modelmill_testkit.process_guard import ProcessGuard
from modelmill_testkit.reached_names import ReachedNames
from modelmill_testkit.shared_nats import shared_nats_complaints, stop_shared_nats

TIERS = ("quick", "check", "test", "journeys", "drills")
STARTERS = {
    **dict.fromkeys(("shared_nats", "broker_for"), "check"),
    **dict.fromkeys(
        (
            "ThreadedMotoServer",
            *("run_nats", "run_nats_cluster", "NatsServer", "broker_for_service"),
            *("running_service", "refused_start", "modules_loaded_by", "running_stack"),
            *("make_tiny_openvino", "kept_tiny_openvino", "make_tiny_onnx", "kept_tiny_onnx"),
            *("ChildProcess", "run_child", "start_child", "try_tokenizer"),
            *("ProcessPoolExecutor", "multiprocessing"),
            *("subprocess", "create_subprocess_exec", "create_subprocess_shell", "fork"),
            *("sync_playwright", "async_playwright"),
        ),
        "test",
    ),
}
"""The tier of a test whose code reaches the name: processes, and a server of S3 in this one."""
MODULE_MARKS = re.compile(r"^pytestmark = .*(?:\n[ \])].*)*", re.MULTILINE)
TIER_MARK = re.compile(r"\bmark\.tier\(\"(\w+)\"\)")
LATE_MARK = re.compile(r"\bmark\.(?:heavy|own_broker)\b")
MOST_COMPLAINTS = 20
"""Lines of brokers' logs that a failed test shows."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--tier`, `--show-tiers` and the folders of drills."""
    group = parser.getgroup("tiers")
    group.addoption("--tier", choices=TIERS, help="run this tier and those before it")
    group.addoption("--only-tier", choices=TIERS, help="run this tier alone")
    group.addoption("--show-tiers", action="store_true", help="print the tier of each test")
    parser.addini(
        "drill_folders", "tests here that start processes are drills", type="paths", default=[]
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers and the plugin of this run."""
    config.addinivalue_line("markers", "tier(name): the tier, where it is not to be seen in code")
    config.addinivalue_line(
        "markers", "own_broker: kills, freezes or fills its broker, which it does not share"
    )
    config.pluginmanager.register(Tiers(config), "modelmill-tiers")


def pytest_unconfigure() -> None:
    """No server outlives the run."""
    stop_shared_nats()


class Tiers:
    """The tiers of one run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._drill_folders: list[Path] = config.getini("drill_folders")
        self._reached = ReachedNames(config.rootpath, STARTERS.keys())
        self._imports = HeavyImports(config.rootpath)
        self._guard = ProcessGuard()
        self.assigned: list[tuple[str, str]] = []
        """Of each test that was collected its id and its tier, also where it is not to run."""
        self._tier_of: dict[str, str] = {}
        self._tier_of_known: dict[tuple[object, str], str] = {}

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """In quick tiers nobody waits for modules that have nothing for them, as by torch."""
        is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
        if is_test:
            tiers = self._tier_of_imports(collection_path), _tier_of_marks(collection_path)
            least = max(map(TIERS.index, tiers))
            return all(TIERS.index(each) < least for each in self._wanted()) or None
        return None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Assign all, keep those that are asked for."""
        self.assigned = [(item.nodeid, self.tier_of(item)) for item in items]
        self._tier_of = dict(self.assigned)
        wanted = self._wanted()
        left_out = [item for item in items if self._tier_of[item.nodeid] not in wanted]
        if left_out:
            self._config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if self._tier_of[item.nodeid] in wanted]

    def pytest_report_collectionfinish(self) -> list[str]:
        """With `--show-tiers`: a line for each test."""
        if not self._config.option.show_tiers:
            return []
        return [f"tier {tier} {nodeid}" for nodeid, tier in self.assigned]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """The guard knows whose test runs."""
        with self._guard.watching(self._tier_of.get(item.nodeid, "test")):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A failure shows what the shared brokers complained of: their logs go with the run."""
        report = yield
        if report.failed and (said := shared_nats_complaints()):
            report.sections.append(("shared nats-servers", "\n".join(said[-MOST_COMPLAINTS:])))
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        """A start that the code under test has swallowed fails the test all the same."""
        result = yield
        self._guard.raise_refused()
        return result

    def tier_of(self, item: pytest.Item) -> str:
        """By its marker; without one the last tier of all that its code and fixtures reach."""
        if marker := item.get_closest_marker("tier"):
            [tier] = marker.args
            if tier not in TIERS:
                raise pytest.UsageError(f"{item.nodeid}: no tier {tier!r}; there are {TIERS}")
            return str(tier)
        tier = self._tier_of_code(item)
        if item.get_closest_marker("heavy") or item.get_closest_marker("own_broker"):
            tier = "test"
        return "drills" if tier == "test" and self._is_of_drills(item.path) else tier

    def _tier_of_code(self, item: pytest.Item) -> str:
        """The same for all parameters of a test."""
        key = (item.parent, getattr(item, "originalname", item.name))
        if (tier := self._tier_of_known.get(key)) is None:
            tiers = [STARTERS[name] for name in self._names(item) & STARTERS.keys()]
            tiers.append(self._tier_of_imports(item.path))
            tier = self._tier_of_known[key] = max(tiers, key=TIERS.index)
        return tier

    def _tier_of_imports(self, path: Path) -> str:
        """The first that a test of the module can be in."""
        loaded = self._imports.loaded_by(path)
        if loaded & HEAVY:
            return "test"
        return "check" if loaded & SDKS else "quick"

    def _is_of_drills(self, path: Path) -> bool:
        return any(path.is_relative_to(folder) for folder in self._drill_folders)

    def _names(self, item: pytest.Item) -> frozenset[str]:
        if not isinstance(item, pytest.Function):
            return frozenset()
        names = self._reached.of(item.function)
        closure = item._fixtureinfo
        for name in closure.names_closure:
            for definition in closure.name2fixturedefs.get(name, ())[-1:]:
                names |= self._reached.of(definition.func)
        return names

    def _wanted(self) -> tuple[str, ...]:
        options = self._config.option
        if options.only_tier:
            return (options.only_tier,)
        return TIERS[: TIERS.index(options.tier or TIERS[-1]) + 1]


def _tier_of_marks(path: Path) -> str:
    """The first that a test of the module can be in, by marks of the whole module."""
    source = path.read_text("utf-8")
    found = MODULE_MARKS.search(source)
    if found is None:
        return TIERS[0]
    of_module = TIER_MARK.findall(found[0])
    if len(TIER_MARK.findall(source)) > len(of_module):
        return TIERS[0]  # the mark of a test goes before that of its module
    if of_module:
        return str(of_module[0])
    return "test" if LATE_MARK.search(found[0]) else TIERS[0]
