"""A plugin of pytest: what a run of tests need not spend.

A million objects of imported modules live as long as the process: looking through them for garbage
while they grow costs a third of collecting, and each full collection between tests costs a second.
A thread of OpenMP that waits for its siblings turns until they come, and where other workers and
services have the cores they come late: a training of one second of work took ten. And Hypothesis
has no deadline for an example: that a machine is busy says nothing of the code.
"""

import gc
import os
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings

MOST_EXAMPLES = {"quick": 15, "check": 25}
"""Of a property, by tier: where somebody waits it is tried less often. `make test` tries it as
often as it asks for, and a hundred times where it does not."""
SETTINGS = "_hypothesis_internal_use_settings"


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before anybody loads OpenMP; child processes inherit it."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    options = early_config.known_args_namespace
    if getattr(options, "numprocesses", None) and "PYTEST_XDIST_WORKER" not in os.environ:
        # Who shares tests out runs none: it need not import services for their fixtures.
        options.noconftest = True


def pytest_configure(config: pytest.Config) -> None:
    """Before tests are read, whose own settings begin from these."""
    settings.register_profile("modelmill", deadline=None)
    for tier, most in MOST_EXAMPLES.items():
        settings.register_profile(tier, deadline=None, max_examples=most)
    tier = config.getoption("tier", None)
    settings.load_profile(tier if tier in MOST_EXAMPLES else "modelmill")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A property that asks for more examples by itself has them in later tiers."""
    if most := MOST_EXAMPLES.get(config.getoption("tier", None) or ""):
        for item in items:
            if isinstance(item, pytest.Function):
                _try_few(item.obj, most)


def _try_few(test: Any, most: int) -> None:
    """Both attributes are those that `@settings` sets, on a function and on a state machine."""
    machine: Any = type(getattr(test, "__self__", None))
    if is_hypothesis_test(test) and (asked := getattr(test, SETTINGS, None)):
        setattr(getattr(test, "__func__", test), SETTINGS, _few(asked, most))
    elif isinstance(asked := getattr(machine, "settings", None), settings):
        machine.settings = _few(asked, most)


def _few(asked: settings, most: int) -> settings:
    return settings(asked, max_examples=min(asked.max_examples, most))


def pytest_collectstart() -> None:
    """Where tests are collected, which is in each worker and not in who controls them."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Garbage of the tests is found as ever."""
    gc.freeze()
    gc.enable()
