"""Child process of a search: chooses the form to try next (Optuna).

`python -m modelmill_optimizer_builder.order_candidates`; only this process loads Optuna. What is
expected of forms that wait, and what was measured of others, are the trials that it learns from.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from modelmill_jobs.child import ChildPort, run_child_main
from optuna.distributions import CategoricalDistribution

from modelmill_optimizer_builder.domain.forms import FORMS
from modelmill_optimizer_builder.domain.pareto import SOURCE

ASKED = 32
"""Suggestions; the form that waits and is suggested most often is taken."""
SEED = 0


def main(port: ChildPort) -> Mapping[str, Any]:
    """The next of `waiting`; `measured` and `waiting` map forms to how far off they are."""
    port.report("search", max_silence_seconds=60.0)
    return {"form": next_form(port.request["measured"], port.request["waiting"])}


def next_form(measured: Mapping[str, float], waiting: Mapping[str, float]) -> str:
    """The form that is likeliest to be better than what was measured.

    Args:
        measured: How far each candidate is from what is asked for, by form; the source has none.
        waiting: What is expected of those that were not measured.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = _space([*measured, *waiting])
    sampler = optuna.samplers.TPESampler(seed=SEED, n_startup_trials=0, constant_liar=False)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    for form, badness in [*measured.items(), *waiting.items()]:
        if form != SOURCE:
            study.add_trial(
                optuna.trial.create_trial(
                    params=_parameters(form), distributions=space, value=badness
                )
            )
    suggested = Counter(_form_of(study.ask(space).params) for _ in range(ASKED))
    # Where all suggestions are of forms that were tried, what is expected decides.
    return min(waiting, key=lambda form: (-suggested[form], waiting[form]))


def _space(forms: Sequence[str]) -> dict[str, Any]:
    """What forms differ in: their runtime, and the width of their weights."""
    chosen = [_parameters(form) for form in FORMS if form in forms]
    return {
        name: CategoricalDistribution(list(dict.fromkeys(each[name] for each in chosen)))
        for name in ("runtime", "weights")
    }


def _parameters(form: str) -> dict[str, str]:
    runtime, _, weights = form.partition("-")
    return {"runtime": runtime, "weights": weights}


def _form_of(parameters: Mapping[str, str]) -> str:
    return f"{parameters['runtime']}-{parameters['weights']}"


if __name__ == "__main__":
    run_child_main(main)
