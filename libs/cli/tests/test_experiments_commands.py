"""`mill experiments`: orders in the API's fields, evidence, and decisions made again here."""

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from cli_support.experiment_gateway import ENDED, RUNS, ExperimentGateway
from cli_support.gateways import told_of
from modelmill_cli.app import run_app

Output = pytest.CaptureFixture[str]
CREATE = ["experiments", "create", "helpdesk", "mv-tuned", "--primary", "satisfaction"]
REPLAY = ["experiments", "replay", ENDED]
CHANGED = 10
"""Place of a unit that somebody changes."""
OTHERS: dict[str, Any] = {
    "phase": 0,
    "verdict": "no_winner",
    "candidate": "candidate-2",
    "metric": "errors",
    "keys": 1,
}
"""What a decision has not."""


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExperimentGateway]:
    with told_of(ExperimentGateway(), monkeypatch) as serving:
        yield serving


def row_of(out: str, *words: str) -> str:
    """The only line that has all of these words, with single spaces."""
    [found] = [" ".join(line.split()) for line in out.splitlines() if {*words} <= {*line.split()}]
    return found


def test_what_is_not_given_is_left_to_the_gateway(gateway: ExperimentGateway):
    assert run_app(CREATE) == 0
    body = {"alias": "helpdesk", "candidates": ["mv-tuned"], "primary": "satisfaction"}
    assert gateway.heard == [("/v1/experiments", body)]


def test_everything_that_is_given_is_ordered_in_the_fields_of_the_api(gateway: ExperimentGateway):
    words = "mv-other --share 0.2 --share 0.3 --guardrail length --guardrail block_rate"
    words += " --alpha 0.1 --max-harm length=0.4 --max-harm errors=0.01"
    words += " --horizon 500 --window 60 --holdback 0.25"

    assert run_app([*CREATE, *words.split()]) == 0

    body = {
        **{"alias": "helpdesk", "candidates": ["mv-tuned", "mv-other"], "shares": [0.2, 0.3]},
        **{"primary": "satisfaction", "guardrails": ["length", "block_rate"], "alpha": 0.1},
        **{"max_harm": {"length": 0.4, "errors": 0.01}, "horizon": 500},
        **{"window_seconds": 60.0, "holdback": 0.25},
    }
    assert gateway.heard == [("/v1/experiments", body)]


def test_a_new_experiment_is_shown_with_its_arms_and_the_next_command(
    gateway: ExperimentGateway, capsys: Output
):
    assert run_app(CREATE) == 0

    out = capsys.readouterr().out
    assert out.splitlines()[0] == RUNS
    assert row_of(out, "base") == "base mv-base 0.5"
    assert row_of(out, "candidate") == "candidate mv-tuned 0.5"
    assert out.splitlines()[-1] == f"next   mill experiments show {RUNS}"


def test_a_candidate_may_be_called_by_how_its_id_begins(gateway: ExperimentGateway, capsys: Output):
    assert run_app(["experiments", "create", "a", "mv-t", "--primary", "errors"]) == 0
    assert gateway.heard[0][1] == {"alias": "a", "candidates": ["mv-tuned"], "primary": "errors"}
    assert run_app(["experiments", "create", "a", "mv-x", "--primary", "errors"]) == 2
    assert "no model 'mv-x'" in capsys.readouterr().err
    assert len(gateway.heard) == 1


@pytest.mark.parametrize("harms", [["length"], ["length=much"], ["=0.1"], ["length=0.1"] * 2])
def test_harms_without_a_metric_or_a_number_are_refused_before_anything_is_asked(
    gateway: ExperimentGateway, capsys: Output, harms: list[str]
):
    assert run_app([*CREATE, *(word for each in harms for word in ("--max-harm", each))]) == 2

    said = f"--max-harm {harms[0]}: give each metric once with a number, as in completion=0.02"
    assert capsys.readouterr().err == f"mill: {said}\n"
    assert gateway.heard == []


def test_a_refusal_names_the_command_that_lists_aliases(gateway: ExperimentGateway, capsys: Output):
    assert run_app(["experiments", "create", "worst", "mv-tuned", "--primary", "errors"]) == 2
    err = capsys.readouterr().err
    assert "no alias of your own 'worst'. `mill models list` lists what there is" in err


def test_a_list_has_how_far_each_of_them_is(gateway: ExperimentGateway, capsys: Output):
    assert run_app(["experiments", "list"]) == 0

    keys = f"{gateway.experiments[ENDED]['keys']:,} of 3,000"
    row = f"{ENDED} helpdesk rolled back satisfaction {keys} 2026-11-23 00:00 UTC"
    assert row_of(capsys.readouterr().out, ENDED) == row


def test_an_experiment_is_shown_with_its_arms_evidence_and_decisions(
    gateway: ExperimentGateway, capsys: Output
):
    assert run_app(["experiments", "show", ENDED]) == 0

    out = capsys.readouterr().out
    assert row_of(out, "status") == "status rolled back: after its promotion: worse"
    assert row_of(out, "keys", "3,000").startswith("keys ")
    assert row_of(out, "measured") == "not measured yet errors"
    assert row_of(out, "mv-tuned") == "candidate mv-tuned 0.5"
    evidence = "candidate satisfaction 0.2500 1,710 0 84.25 310.5 1"
    assert row_of(out, "84.25") == evidence
    promoted, undone = gateway.experiments[ENDED]["decisions"]
    bound = f"{promoted['evidence']:.6g} {promoted['threshold']:.6g} {promoted['keys']:,}"
    assert row_of(out, "promote") == f"compare promote candidate satisfaction {bound}"
    assert row_of(out, "roll").startswith(f"watch roll back candidate {undone['metric']} ")


def test_what_there_is_not_yet_has_no_table(gateway: ExperimentGateway, capsys: Output):
    gateway.experiments[RUNS] |= {"evidence": [], "missing": []}
    assert run_app(["experiments", "show", RUNS]) == 0
    out = capsys.readouterr().out
    assert "harmless" not in out
    assert "verdict" not in out
    assert "measured" not in out


def test_an_experiment_is_stopped_and_what_became_of_it_is_said(
    gateway: ExperimentGateway, capsys: Output
):
    assert run_app(["experiments", "stop", "exp-2"]) == 0
    assert gateway.heard == [(f"/v1/experiments/{RUNS}/stop", None)]
    assert capsys.readouterr().out == f"{RUNS}: stopped: stopped by ada\n"


@pytest.mark.parametrize("command", ["show", "stop", "replay"])
def test_an_unknown_id_is_answered_with_the_command_that_lists(
    gateway: ExperimentGateway, capsys: Output, command: str
):
    assert run_app(["experiments", command, "exp-9"]) == 2
    remedy = "`mill experiments list` lists what there is"
    err = capsys.readouterr().err
    assert err.startswith("mill: no experiment 'exp-9'.")
    assert err.endswith(f"{remedy}\n")
    assert gateway.heard == []


def test_units_give_the_same_decisions_again_bit_for_bit(
    gateway: ExperimentGateway, capsys: Output
):
    assert run_app(REPLAY) == 0

    out = capsys.readouterr().out
    assert row_of(out, "promote").endswith(" identical")
    assert row_of(out, "roll").endswith(" identical")
    end = f"{ENDED}: 2 decisions of {len(gateway.units):,} units, all as recorded"
    assert out.splitlines()[-1] == end


@pytest.mark.parametrize("name", ["evidence", "threshold"])
def test_the_last_bit_of_a_number_counts(gateway: ExperimentGateway, capsys: Output, name: str):
    decision = gateway.experiments[ENDED]["decisions"][1]
    real, decision[name] = decision[name], math.nextafter(decision[name], math.inf)

    assert run_app(REPLAY) == 1

    out, err = capsys.readouterr()
    assert row_of(out, "roll").endswith(f" {name}: {decision[name]!r} recorded, {real!r} here")
    assert row_of(out, "promote").endswith(" identical")
    assert err.startswith(f"mill: {ENDED}: 1 of 2 decisions differ from the replay. Repeat it with")


@pytest.mark.parametrize("name", OTHERS)
def test_every_field_of_a_decision_is_compared(
    gateway: ExperimentGateway, capsys: Output, name: str
):
    gateway.experiments[ENDED]["decisions"][1][name] = OTHERS[name]

    assert run_app([*REPLAY, "--json"]) == 1

    report = json.loads(capsys.readouterr().out)
    assert [it["differing"] for it in report["decisions"]] == [[], [name]]
    assert report["identical"] is False


@pytest.mark.parametrize("change", ["value", "arm", "order", "gone", "twice"])
def test_a_unit_that_somebody_changed_is_found(
    gateway: ExperimentGateway, capsys: Output, change: str
):
    units = gateway.units
    if change == "value":
        units[CHANGED]["values"]["satisfaction"] = [0.5]
    elif change == "arm":
        units[CHANGED]["arm"] = "candidate" if units[CHANGED]["arm"] == "base" else "base"
    elif change == "order":
        units[CHANGED : CHANGED + 20] = reversed(units[CHANGED : CHANGED + 20])
    elif change == "gone":
        del units[CHANGED]
    else:
        units.insert(CHANGED, units[CHANGED] | {"key": "00"})

    assert run_app(REPLAY) == 1
    out, err = capsys.readouterr()
    assert " recorded, " in row_of(out, "promote")
    assert err.count("\n") == 1
    assert "differ from the replay. Repeat it with the mill of the gateway's version" in err


def test_a_decision_of_which_no_unit_tells_is_found(gateway: ExperimentGateway, capsys: Output):
    gateway.units.pop()
    assert run_app(REPLAY) == 1
    assert row_of(capsys.readouterr().out, "roll").endswith(" recorded, and not made here")


def test_a_decision_that_an_ended_experiment_does_not_record_is_found(
    gateway: ExperimentGateway, capsys: Output
):
    gateway.experiments[ENDED]["decisions"].pop()
    assert run_app(REPLAY) == 1
    out, err = capsys.readouterr()
    assert row_of(out, "roll").endswith(" not recorded")
    assert "order the experiment anew" in err


def test_while_it_goes_on_a_decision_may_come_before_its_record(
    gateway: ExperimentGateway, capsys: Output
):
    assert run_app(["experiments", "replay", RUNS]) == 1
    assert "It goes on: repeat the command" in capsys.readouterr().err


def test_who_stopped_it_may_have_been_faster_than_a_decision(
    gateway: ExperimentGateway, capsys: Output
):
    gateway.experiments[ENDED]["decisions"].pop()
    gateway.experiments[ENDED]["status"] = "stopped"
    assert run_app(REPLAY) == 0
    assert "1 decision of" in capsys.readouterr().out


def test_without_decisions_nothing_differs(gateway: ExperimentGateway, capsys: Output):
    gateway.units.clear()
    assert run_app(["experiments", "replay", RUNS]) == 0
    assert capsys.readouterr().out == f"{RUNS}: 0 decisions of 0 units, all as recorded\n"


def test_what_an_older_mill_does_not_know_is_not_called_a_difference(
    gateway: ExperimentGateway, capsys: Output
):
    gateway.experiments[ENDED]["primary"] = "delight"
    assert run_app(REPLAY) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"mill: {ENDED} cannot be replayed: no metric 'delight'")
    assert err.endswith("Use the mill of the gateway's version\n")


def test_programs_get_both_sides_of_each_decision(gateway: ExperimentGateway, capsys: Output):
    assert run_app([*REPLAY, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["id"], report["units"], report["identical"]) == (ENDED, len(gateway.units), True)
    assert [it["recorded"] for it in report["decisions"]] == gateway.experiments[ENDED]["decisions"]
    assert all(it["recorded"] == it["replayed"] for it in report["decisions"])
