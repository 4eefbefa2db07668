"""From trials to the figures' numbers: groups over seeds, the best of each width, fronts; and damaged trials."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from toy import ToyConfig, outcome

from brevitas_a2q.errors import SweepError
from brevitas_a2q.sweep._objectives import objectives_of, values_of
from brevitas_a2q.sweep._results import networks_of
from brevitas_a2q.sweep._status import RunStatus, status_of
from brevitas_a2q.sweep._study import find_study
from brevitas_a2q.sweep._summary import Summary


def summary(p: int = 12, seed: int = 0, method: str = "a2q", m: int = 4, **config: Any) -> Summary:
    quant = {"method": method, "accumulator_bit_width": p, "weight_bit_width": m}
    return Summary.of_result(outcome(ToyConfig.from_dict({"quant": quant, "seed": seed, **config})))


def done(number: int, found: Summary, **settings: Any) -> RunStatus:
    return RunStatus(f"{number:016x}", settings, "done", 1, None, None, None, found)


def test_seeds_are_one_group_with_mean_and_standard_deviation() -> None:
    runs = [done(seed, replace(summary(), last=last), seed=seed, P=12) for seed, last in enumerate((0.7, 0.8, 0.9))]
    ((group,),) = [network.groups for network in networks_of(runs)]
    assert (group.seeds, group.settings, group.width) == (3, {"P": 12}, 12.0)
    assert group.metric == pytest.approx(0.8)
    assert group.metric_std == pytest.approx(0.1)


def test_the_best_of_each_width_and_the_front_of_luts() -> None:
    cells = [(9, 3, 0.5, 90), (9, 4, 0.6, 120), (12, 3, 0.9, 100), (12, 4, 0.8, 110)]
    runs = [
        done(i, replace(summary(p, m=m), last=last, lut=lut), P=p, M=m) for i, (p, m, last, lut) in enumerate(cells)
    ]
    ((curve,),) = [network.methods for network in networks_of(runs)]
    assert [(group.width, group.weight_bit_width, group.metric) for group in curve.best] == [(9, 4, 0.6), (12, 3, 0.9)]
    assert [group.lut for group in curve.lut_front] == [90, 100]
    assert [(band.width, band.groups) for band in curve.sparsity] == [(9, 2), (12, 2)]


def test_the_front_of_widths_leaves_out_what_a_narrower_accumulator_beats() -> None:
    cells = [(9, 0.5), (10, 0.8), (12, 0.7), (14, 0.8), (16, 0.9)]
    runs = [done(i, replace(summary(p), last=last), P=p) for i, (p, last) in enumerate(cells)]
    ((curve,),) = [network.methods for network in networks_of(runs)]
    assert [group.width for group in curve.best] == [9, 10, 12, 14, 16]
    assert [group.width for group in curve.width_front] == [9, 10, 16]


def test_mixed_widths_are_placed_at_their_mean_and_networks_kept_apart() -> None:
    mixed = summary(12, layer_rules={"conv1": 9})
    assert (mixed.accumulator_bit_width, mixed.mean_accumulator_bit_width) == (12, 10.5)
    first, second = networks_of([done(0, mixed, P=12), done(1, replace(summary(), model="b"), model="b")])
    assert (first.model, second.model) == ("b", "toy")
    assert second.groups[0].width == 10.5


def test_a_network_without_targets_is_placed_at_the_width_it_needs() -> None:
    result = outcome(ToyConfig.from_dict({"quant": {"method": "none"}}))
    layers = [{"name": "c", "accumulator_bit_width": None}]
    result["certificate"] = {"holds": True, "widest_required_bit_width": 19, "layers": layers}
    assert Summary.of_result(result).accumulator_bit_width == 19


def test_float_runs_have_no_width_and_are_in_no_curve() -> None:
    result = {**outcome(ToyConfig()), "certificate": None, "estimate": None, "sparsity": None, "compression": None}
    result["config"] = {**result["config"], "quant": None}
    found = Summary.of_result(result)
    assert (found.method, found.accumulator_bit_width, found.lut) == ("float", None, None)
    (network,) = networks_of([done(0, found)])
    assert (len(network.groups), network.methods) == (1, ())


def test_a_float_network_in_a_grid_is_a_run_like_any_other() -> None:
    result = {**outcome(ToyConfig()), "certificate": None, "estimate": None}
    result["config"] = {**result["config"], "quant": None}
    objectives = objectives_of(["metric", "accumulator_bit_width", "lut"], "space")
    found = Summary.of_result(result)
    assert values_of(objectives, found, in_grid=True) == [found.last, math.inf, math.inf]
    with pytest.raises(SweepError, match="no accumulator_bit_width"):
        values_of(objectives, found)


@pytest.mark.parametrize("damage", [{"last": "0.9"}, {"last": float("nan")}, {"seed": True}, {"holds": 1}, {"lut": []}])
def test_damaged_summaries_are_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(SweepError, match=next(iter(damage))):
        Summary.of_json(summary().to_json() | damage)


@pytest.mark.parametrize("result", [{}, {"config": None}, {"config": {"model": 1}}, {"config": {}, "certificate": [1]}])
def test_what_is_no_result_is_refused(result: dict[str, Any]) -> None:
    with pytest.raises(SweepError):
        Summary.of_result(result)


def test_an_objective_without_a_value_is_an_error_that_says_why() -> None:
    missing = replace(summary(), lut=None, estimate_reason="no part of that name")
    with pytest.raises(SweepError, match=r"no lut.*no part of that name"):
        values_of(objectives_of(["metric", "lut"], "space"), missing)


def test_states_as_the_storage_has_them() -> None:
    study = optuna.create_study(directions=["maximize"])
    names = [f"{i:016x}" for i in range(7)]

    def add(run: Any, state: TrialState, **attributes: Any) -> None:
        values = [0.5] if state is TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, values=values, user_attrs={"run": run, **attributes}))

    add(names[0], TrialState.FAIL, end="its worker died")
    add(names[0], TrialState.COMPLETE, summary=summary().to_json(), settings={"seed": 0})
    add(names[1], TrialState.WAITING)
    add(names[2], TrialState.RUNNING, beat={"epoch": 3, "metric": 0.5})
    add(names[3], TrialState.FAIL, end="the loss is NaN")
    add(names[4], TrialState.FAIL, end="its worker was stopped")
    add(names[5], TrialState.COMPLETE, summary={"last": "high"})
    add(names[6], TrialState.RUNNING, beat={"epoch": "1", "metric": float("nan")}, settings={"P": float("inf")})
    for forged in ("../../etc/passwd", 7, "ABCDEF0123456789", None):
        add(forged, TrialState.COMPLETE)
    status = status_of(study)
    assert [run.state for run in status.runs] == [
        "done", "waiting", "running", "failed", "interrupted", "failed", "running",
    ]  # fmt: skip
    assert status.counts == {"done": 1, "running": 2, "waiting": 1, "interrupted": 1, "failed": 2}
    assert (status.runs[2].epoch, status.runs[2].metric) == (3, 0.5)
    assert status.runs[3].error == "the loss is NaN"
    assert status.runs[6].settings == {}
    assert (status.runs[6].epoch, status.runs[6].metric) == (None, None)
    assert json.loads(json.dumps(status.to_json(), allow_nan=False))["runs"][0]["summary"]["last"] == summary().last


def test_finding_a_study() -> None:
    storage = optuna.storages.InMemoryStorage()
    with pytest.raises(SweepError, match="0 sweeps"):
        find_study(storage, None)
    optuna.create_study(storage=storage, study_name="one")
    assert find_study(storage, None).study_name == "one"
    optuna.create_study(storage=storage, study_name="two")
    with pytest.raises(SweepError, match=r"2 sweeps; expected one of one, two.*--name"):
        find_study(storage, None)
    with pytest.raises(SweepError, match="no sweep 'three'"):
        find_study(storage, "three")
