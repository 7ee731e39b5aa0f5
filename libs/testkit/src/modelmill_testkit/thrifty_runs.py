"""A plugin of pytest: what a run of tests need not spend.

A million objects of imported modules live as long as the process: looking through them for garbage
while they grow costs a third of collecting, and each full collection between tests costs a second.
A thread of OpenMP that waits for its siblings turns until they come, and where other workers and
services have the cores they come late: a training of one second of work took ten. And Hypothesis
has no deadline for an example or for making it: that a machine is busy says nothing of the code.
Services take a process for hung after a minute: beside others it may wait for a core for seconds.

In a tier a property has the same examples each time, so that a run fails for what was changed. New
ones are drawn where no tier is named, and by `--all-examples`.
"""

import gc
import os
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

MOST_EXAMPLES = {"quick": 15, "check": 25, "test": 100}
"""Of a property, by tier: where somebody waits it is tried less often. Without a tier, and with
`--all-examples`, it is tried as often as it asks for."""
UNUSED = ("sklearn", "torchvision", "scipy")
"""Who imports transformers imports these wherever they are installed, and no test uses them."""
SERVICES = ("data_prep", "trainer", "optimizer_builder", "moderation", "inference", "gateway")
SETTINGS = "_hypothesis_internal_use_settings"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--all-examples`."""
    parser.addoption(
        "--all-examples", action="store_true", help="try properties as often as they ask for"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before anybody loads OpenMP; child processes inherit it."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in SERVICES:
        os.environ.setdefault(f"{name.upper()}_BLOCKED_SECONDS", "60")
    for name in UNUSED:
        # As if it were not installed, in this process alone.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    options = early_config.known_args_namespace
    if getattr(options, "numprocesses", None) and "PYTEST_XDIST_WORKER" not in os.environ:
        # Who shares tests out runs none: it need not import services for their fixtures.
        options.noconftest = True


def pytest_configure(config: pytest.Config) -> None:
    """Before tests are read, whose own settings begin from these."""
    # Without `derandomize` Hypothesis has the same examples wherever the environment has CI.
    patient = settings(
        deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.register_profile("modelmill", patient)
    most = _most_examples(config)
    settings.register_profile("few", _few(patient, most or 100))
    settings.load_profile("few" if most else "modelmill")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A property that asks for more examples by itself has them in later tiers."""
    if most := _most_examples(config):
        for item in items:
            if isinstance(item, pytest.Function):
                _try_few(item.obj, most)


def _most_examples(config: pytest.Config) -> int | None:
    if config.getoption("all_examples"):
        return None
    return MOST_EXAMPLES.get(config.getoption("tier", None) or "")


def _try_few(test: Any, most: int) -> None:
    """Both attributes are those that `@settings` sets, on a function and on a state machine."""
    machine: Any = type(getattr(test, "__self__", None))
    if is_hypothesis_test(test) and (asked := getattr(test, SETTINGS, None)):
        setattr(getattr(test, "__func__", test), SETTINGS, _few(asked, most))
    elif isinstance(asked := getattr(machine, "settings", None), settings):
        machine.settings = _few(asked, most)


def _few(asked: settings, most: int) -> settings:
    return settings(asked, max_examples=min(asked.max_examples, most), derandomize=True)


def pytest_collectstart() -> None:
    """Where tests are collected, which is in each worker and not in who controls them."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Garbage of the tests is found as ever."""
    gc.freeze()
    gc.enable()
