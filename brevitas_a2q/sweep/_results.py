"""What a sweep shows: accuracy against accumulator width, LUTs against accuracy, sparsity and compression.

Runs that differ by their seed only are one group, with mean and spread. Where a figure shows one group per method and
width, it is the one whose mean test metric is highest, as in the papers' figures: there the test set chooses among
(M, N), and the tables say which it chose.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from brevitas_a2q.sweep._pareto import pareto_front
from brevitas_a2q.sweep._status import RunStatus
from brevitas_a2q.sweep._summary import Summary

__all__ = ["Band", "Group", "MethodCurve", "Network", "networks_of"]

Item = TypeVar("Item")
Key = TypeVar("Key")


@dataclass(frozen=True)
class Group:
    """Finished runs that differ by their seed only; numbers are means over them.

    Attributes:
        settings: What they change in the base, without the seed.
        seeds: How many there are.
        width: Accumulator width in bits: the target, the mean of targets that differ, the required one without targets.
        metric: After the last epoch.
        metric_std: Its standard deviation over seeds; None for one seed.
        best: The highest of any epoch.
        holds: Whether all certificates hold; None without any.
    """

    model: str
    data: str
    method: str
    weight_bit_width: int | None
    activation_bit_width: int | None
    width: float | None
    settings: Mapping[str, Any]
    seeds: int
    metric: float
    metric_std: float | None
    best: float
    float_metric: float | None
    sparsity: float | None
    compression: float | None
    lut: float | None
    holds: bool | None


@dataclass(frozen=True)
class Band:
    """Mean and range of a quantity over all groups of one method and width."""

    width: float
    mean: float
    low: float
    high: float
    groups: int


@dataclass(frozen=True)
class MethodCurve:
    """One method on one network.

    Attributes:
        best: For each width, narrowest first, the group of the highest mean metric.
        width_front: Those of them that no other one beats in both width and metric, the narrowest first.
        lut_front: Groups that no other one of the method beats in both LUTs and metric, the cheapest first.
        sparsity: Over the widths.
        compression: Over the widths.
    """

    method: str
    best: tuple[Group, ...]
    width_front: tuple[Group, ...]
    lut_front: tuple[Group, ...]
    sparsity: tuple[Band, ...]
    compression: tuple[Band, ...]


@dataclass(frozen=True)
class Network:
    """Everything about one network on one data set."""

    model: str
    data: str
    metric: str
    groups: tuple[Group, ...]
    methods: tuple[MethodCurve, ...]

    @property
    def float_metric(self) -> float | None:
        """Mean metric of the float network, over the groups that know it."""
        return _mean(group.float_metric for group in self.groups)

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``."""
        return {**asdict(self), "float_metric": self.float_metric}


def networks_of(runs: Iterable[RunStatus]) -> tuple[Network, ...]:
    """What the finished runs of a sweep come to, network by network."""
    finished = [(run, run.summary) for run in runs if run.summary is not None]
    by_network = _gathered(finished, lambda item: (item[1].model, item[1].data, item[1].metric))
    return tuple(_network(*key, items) for key, items in sorted(by_network.items()))


def _network(model: str, data: str, metric: str, items: Sequence[tuple[RunStatus, Summary]]) -> Network:
    groups = tuple(_group(found) for found in _gathered(items, _without_seed).values())
    methods = _gathered([group for group in groups if group.width is not None], lambda group: group.method)
    curves = tuple(_curve(method, found) for method, found in sorted(methods.items()))
    return Network(model, data, metric, groups, curves)


def _without_seed(item: tuple[RunStatus, Summary]) -> str:
    settings = {key: value for key, value in item[0].settings.items() if key != "seed"}
    return json.dumps([item[1].method, settings], sort_keys=True, default=str)


def _group(items: Sequence[tuple[RunStatus, Summary]]) -> Group:
    run, first = items[0]
    summaries = [summary for _, summary in items]
    lasts = [summary.last for summary in summaries]
    held = [summary.holds for summary in summaries if summary.holds is not None]
    return Group(
        model=first.model,
        data=first.data,
        method=first.method,
        weight_bit_width=first.weight_bit_width,
        activation_bit_width=first.activation_bit_width,
        width=_mean(_width(summary) for summary in summaries),
        settings={key: value for key, value in run.settings.items() if key != "seed"},
        seeds=len(items),
        metric=statistics.fmean(lasts),
        metric_std=statistics.stdev(lasts) if len(lasts) > 1 else None,
        best=statistics.fmean(summary.best for summary in summaries),
        float_metric=_mean(summary.float_last for summary in summaries),
        sparsity=_mean(summary.sparsity for summary in summaries),
        compression=_mean(summary.compression for summary in summaries),
        lut=_mean(summary.lut for summary in summaries),
        holds=all(held) if held else None,
    )


def _width(summary: Summary) -> float | None:
    mean = summary.mean_accumulator_bit_width
    return summary.accumulator_bit_width if mean is None else mean


def _curve(method: str, groups: Sequence[Group]) -> MethodCurve:
    by_width = sorted(_gathered(groups, lambda group: group.width or 0.0).items())
    best = [max(found, key=lambda group: group.metric) for _, found in by_width]
    narrow = pareto_front([(group.width or 0.0, group.metric) for group in best], ("minimize", "maximize"))
    costed = [(group, group.lut) for group in groups if group.lut is not None]
    front = pareto_front([(lut, group.metric) for group, lut in costed], ("minimize", "maximize"))
    return MethodCurve(
        method=method,
        best=tuple(best),
        width_front=tuple(best[place] for place in narrow),
        lut_front=tuple(costed[place][0] for place in front),
        sparsity=_bands(by_width, lambda group: group.sparsity),
        compression=_bands(by_width, lambda group: group.compression),
    )


def _bands(
    by_width: Sequence[tuple[float, Sequence[Group]]], quantity: Callable[[Group], float | None]
) -> tuple[Band, ...]:
    bands = []
    for width, groups in by_width:
        values = [value for group in groups if (value := quantity(group)) is not None]
        if values:
            bands.append(Band(width, statistics.fmean(values), min(values), max(values), len(values)))
    return tuple(bands)


def _gathered(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    found: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
