"""One layer: its activation type, the trust in its data, its integer weights, scales and bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from brevitas_a2q.bounds import two_sided_budget
from brevitas_a2q.errors import ModelError
from brevitas_a2q.ptq._activations import ActivationType, powers
from brevitas_a2q.ptq._blocks import LongRows, solve_in_blocks
from brevitas_a2q.ptq._integer_bias import BiasRoom, less, solve_beside_bias
from brevitas_a2q.ptq._moments import Array, Moments, relative_error
from brevitas_a2q.ptq._problem import Codes, RowProblem, RowSolution, budget_rows, holds
from brevitas_a2q.ptq._solver import solve

__all__ = ["MAX_SEARCHED_BITS", "NARROWEST", "LayerData", "LayerSolution", "LayerTask", "least_width", "quantize_layer"]

_TRIAL_ROWS = 2500
_TRIAL_OUTPUTS = 48
_TRIAL_INPUTS = 1024
_LONG = 6144  # products, whose moments are not held as a whole
NARROWEST = 4  # bits of accumulators that are tried
MAX_SEARCHED_BITS = 24
_HOPELESS = 1.3  # times the least error, with more bits than that has: no use going on


@dataclass(frozen=True)
class LayerTask:
    """What a layer is to become.

    Attributes:
        name: Qualified name.
        accumulator_bit_width: P.
        tile: Weights per accumulation; None for all.
        weight_bit_width: M at most.
        shared_scale: Whether its outputs have one scale.
        power_of_two: Whether scales are powers of two.
        method: ``"projection"`` or ``"exchange"``.
        shrinkages: To choose from.
        seed: Of what is sampled.
        bias_bit_width: Of an integer bias within the accumulator.
    """

    name: str
    accumulator_bit_width: int
    tile: int | None
    weight_bit_width: int
    shared_scale: bool
    power_of_two: bool
    method: str
    shrinkages: tuple[float, ...]
    seed: int
    bias_bit_width: int = 32

    @property
    def largest(self) -> int:
        """Largest magnitude of a code."""
        return (1 << (self.weight_bit_width - 1)) - 1


@dataclass(frozen=True, eq=False)
class LayerData:
    """Rows of a layer.

    Attributes:
        target: Inputs in the float network.  # shape: (n, G, K)
        prefix: Inputs in the network that is quantized up to here.  # shape: (n, G, K)
        weights: Of the float network.  # shape: (G, R, K)
        held_out: How many rows, the last ones, are kept to judge by.
        bias: Of the float network, where it is to be an integer within the accumulator.  # shape: (C,)
    """

    target: Tensor
    prefix: Tensor
    weights: Tensor
    held_out: int
    bias: Array | None = None

    @property
    def known(self) -> LayerData:
        """Without the rows that are held out."""
        return replace(self, target=self.target[: -self.held_out], prefix=self.prefix[: -self.held_out], held_out=0)

    @property
    def judge(self) -> LayerData:
        """The rows that are held out."""
        return replace(self, target=self.target[-self.held_out :], prefix=self.prefix[-self.held_out :])

    def equalized(self, exponents: tuple[int, ...]) -> LayerData:
        """The same products of divided inputs and multiplied weights."""
        if not exponents:
            return self
        down, up = powers(exponents, -1), powers(exponents).double()
        return replace(self, target=self.target * down, prefix=self.prefix * down, weights=self.weights * up)

    def thinned(self, seed: int) -> tuple[LayerData, float]:
        """Few rows, outputs and inputs, to compare settings by, and the share of the inputs that are left."""
        rng = np.random.default_rng(seed)
        groups, outputs, size = self.weights.shape
        some_groups = np.sort(rng.permutation(groups)[:_TRIAL_OUTPUTS])
        per_group = max(1, _TRIAL_OUTPUTS // len(some_groups))
        some_outputs = np.sort(rng.permutation(outputs)[:per_group])
        some_inputs = np.sort(rng.permutation(size)[:_TRIAL_INPUTS])
        weights = self.weights[some_groups][:, some_outputs][:, :, some_inputs]
        known = min(len(self.target) - self.held_out, _TRIAL_ROWS)
        some = np.sort(rng.permutation(len(self.target) - self.held_out)[:known])
        rows = np.r_[some, len(self.target) - min(self.held_out, _TRIAL_ROWS) : len(self.target)]

        def pick(x: Tensor) -> Tensor:
            x = x[torch.from_numpy(rows)]
            x = x if len(some_groups) == groups else x[:, some_groups]
            return x if len(some_inputs) == size else x[:, :, some_inputs]

        data = LayerData(pick(self.target), pick(self.prefix), weights, len(rows) - known)
        return data, len(some_inputs) / size


@dataclass(frozen=True, eq=False)
class LayerSolution:
    """What was found for a layer.

    Attributes:
        activation: Type of its input.
        codes: Integer weights.  # shape: (C, K)
        scales: ``s_w``.  # shape: (C,)
        bias_change: What the bias gains.  # shape: (C,)
        output_error: Squared error of its output on held-out rows, relative to the output's power.
        shrinkage: What was chosen.
        accumulator_bit_width: P.
        weight_bit_width: M that the codes need.
        bias: Codes of the bias, where it is part of the sum; then nothing else changes it.  # shape: (C,)
    """

    activation: ActivationType
    codes: Codes
    scales: Array
    bias_change: Array
    output_error: float
    shrinkage: float
    accumulator_bit_width: int
    weight_bit_width: int
    bias: Codes | None = None


def quantize_layer(task: LayerTask, data: LayerData, types: Sequence[ActivationType]) -> LayerSolution:
    """Choose the type of the input among some, and solve for the weights.

    Args:
        task: What is wanted.
        data: Rows.
        types: Of the input, by rising number of bits within a kind.

    Raises:
        ModelError: The budget holds no weight at all, whatever the type.
    """
    usable = [kind for kind in types if _holds_weights(task, kind)]
    if not usable:
        raise ModelError(
            f"{task.accumulator_bit_width} accumulator bits hold no weight at all for inputs in "
            f"[{types[0].lo}, {types[0].hi}]",
            where=f"layer {task.name}",
            expected="room for one weight",
            remedy="use a wider accumulator, or allow fewer activation bits",
        )
    few = _Few(data, task.seed)
    chosen = usable[0] if len(usable) == 1 else _best_type(task, few, usable)[0]
    shrinkage = task.shrinkages[len(task.shrinkages) // 2]
    if len(task.shrinkages) > 1:
        trial = _Trial.of(few, chosen)
        shrinkage = min(task.shrinkages, key=lambda rho: trial.error(task, rho))
    return _solved(task, data, chosen, shrinkage)


def least_width(task: LayerTask, data: LayerData, types: Sequence[ActivationType], error: float, widest: int) -> int:
    """The least P at which the layer's error on held-out rows is at most this, or the largest that helps.

    Args:
        task: What is wanted; its P is not looked at.
        data: Rows.
        types: Of the input.
        error: Relative squared error that is allowed.
        widest: The largest P.
    """
    few = _Few(data, task.seed)

    def suffices(bits: int) -> bool:
        tried = replace(task, accumulator_bit_width=bits)
        usable = [kind for kind in types if _holds_weights(tried, kind)]
        return bool(usable) and _best_type(tried, few, usable)[1] <= error

    low, high = min(NARROWEST, widest) - 1, widest
    while high - low > 1:
        middle = (low + high) // 2
        if suffices(middle):
            high = middle
        else:
            low = middle
    return high


def _holds_weights(task: LayerTask, kind: ActivationType) -> bool:
    budget = two_sided_budget(task.accumulator_bit_width, kind.range)
    caps = (budget.max_positive_sum, budget.max_negative_sum)
    return any(cap is None or cap > 0 for cap in caps)


class _Few:
    """Few data of a layer, divided as a type divides them."""

    def __init__(self, data: LayerData, seed: int) -> None:
        self._data, self._seed = data, seed
        self._known: dict[tuple[int, ...], tuple[LayerData, float]] = {}

    def of(self, kind: ActivationType) -> tuple[LayerData, float]:
        """The data for a type, and the share of the inputs that they have."""
        if kind.exponents not in self._known:
            self._known[kind.exponents] = self._data.equalized(kind.exponents).thinned(self._seed)
        return self._known[kind.exponents]


def _best_type(task: LayerTask, few: _Few, types: Sequence[ActivationType]) -> tuple[ActivationType, float]:
    """The type of least error, and that error."""
    best, least = types[0], np.inf
    rho = task.shrinkages[len(task.shrinkages) // 2]
    closed = set[tuple[str, tuple[int, ...]]]()
    for kind in types:
        family = kind.kind, kind.exponents
        if family in closed:
            continue
        error = _Trial.of(few, kind).error(task, rho)
        if error < least:
            best, least = kind, error
        elif error > _HOPELESS * least and (best.kind, best.exponents) == family and kind.bit_width > best.bit_width:
            closed.add(family)
    return best, float(least)


@dataclass(frozen=True, eq=False)
class _Trial:
    """A type of the input, on few data."""

    thin: LayerData
    share: float
    kind: ActivationType
    quantized: Tensor
    moments: Moments

    @classmethod
    def of(cls, few: _Few, kind: ActivationType) -> _Trial:
        thin, share = few.of(kind)
        quantized, known = kind.rounded(thin.prefix), thin.known
        return cls(thin, share, kind, quantized, Moments.of(known.target, quantized[: len(known.target)], thin.weights))

    def error(self, task: LayerTask, rho: float) -> float:
        """Relative squared error on held-out rows with this shrinkage."""
        weights = self.thin.weights
        solution = _solve_groups(task, self.moments, weights, self.kind, rho, share=self.share, quick=True)
        return _error(self.moments, self.thin, self.quantized, solution)


def _error(moments: Moments, data: LayerData, quantized: Tensor, solution: RowSolution) -> float:
    """Relative squared error on held-out rows."""
    judge = data.judge
    found = torch.from_numpy(solution.codes * solution.scales[:, None]).reshape(data.weights.shape)
    error, power = relative_error(moments, judge.target, quantized[-data.held_out :], data.weights, found)
    return float(error.sum() / max(power.sum(), 1e-300))


def _solved(task: LayerTask, data: LayerData, kind: ActivationType, shrinkage: float) -> LayerSolution:
    data = data.equalized(kind.exponents)
    groups, _, size = data.weights.shape
    quantized, known = kind.rounded(data.prefix), data.known
    rounded, long = quantized[: len(known.target)], size > _LONG and groups == 1
    moments = (Moments.means_of if long else Moments.of)(known.target, rounded, data.weights)

    def solved(taken: Codes | None) -> RowSolution:
        if long:
            found = _solved_in_blocks(task, known, moments, rounded, kind, shrinkage, taken)
        else:
            found = _solve_groups(task, moments, data.weights, kind, shrinkage, taken=taken)
        return found.in_float32()

    def change(found: RowSolution) -> Array:
        real = (found.codes * found.scales[:, None]).reshape(data.weights.shape)
        gained: Array = (moments.output_mean - np.einsum("grk,gk->gr", real, moments.input_mean)).reshape(-1)
        return gained

    before, bias = data.bias, None
    if before is None or (task.tile or size) < size:  # tiles are summed beside it
        solution = solved(None)
    else:
        sums, limits = (task.accumulator_bit_width, kind.range, kind.scale), (task.shared_scale, task.power_of_two)
        room = BiasRoom(*sums, task.bias_bit_width, task.largest, *limits)
        solution, bias = solve_beside_bias(solved, lambda found: before + change(found), room)
    return LayerSolution(
        activation=kind,
        codes=solution.codes,
        scales=solution.scales,
        bias_change=change(solution),
        output_error=_error(moments, data, quantized, solution),
        shrinkage=shrinkage,
        accumulator_bit_width=task.accumulator_bit_width,
        weight_bit_width=max(2, 1 + int(np.abs(solution.codes).max(initial=0)).bit_length()),
        bias=bias,
    )


def _solved_in_blocks(
    task: LayerTask,
    known: LayerData,
    means: Moments,
    quantized: Tensor,
    kind: ActivationType,
    shrinkage: float,
    taken: Codes | None,
) -> RowSolution:
    size = known.weights.shape[-1]
    x, x_hat = known.target[:, 0], quantized[:, 0] - torch.from_numpy(means.input_mean[0]).to(quantized.dtype)
    outputs = x @ known.weights[0].to(x.dtype).T - torch.from_numpy(means.output_mean[0]).to(x.dtype)
    budgets = less(budget_rows(two_sided_budget(task.accumulator_bit_width, kind.range), known.weights.shape[1]), taken)
    cross = (x_hat * x).mean(0, dtype=torch.float64).numpy()
    weights = known.weights[0].double().numpy()
    rows = LongRows(x_hat, outputs, cross, weights, budgets, task.largest, min(task.tile or size, size))
    solution = solve_in_blocks(
        rows,
        shrinkage,
        exchange=task.method == "exchange",
        shared_scale=task.shared_scale,
        power_of_two=task.power_of_two,
    )
    if not holds(solution.codes, budgets, rows.tile):
        raise AssertionError(f"layer {task.name}: the solver left its budget")  # a bug: never on any input
    return solution


def _solve_groups(
    task: LayerTask,
    moments: Moments,
    weights: Tensor,
    kind: ActivationType,
    shrinkage: float,
    *,
    share: float = 1.0,
    quick: bool = False,
    taken: Codes | None = None,
) -> RowSolution:
    """Solve all groups of a layer; with part of the inputs, within the same part of the budget; beside a bias."""
    groups, outputs, size = weights.shape
    float_weights = weights.double().numpy()
    inputs, common = moments.shrunk(shrinkage, float_weights)
    budget = two_sided_budget(task.accumulator_bit_width, kind.range)
    tile = min(task.tile or size, size)
    if share < 1 and not (task.tile and task.tile <= size):
        budget = replace(budget, upper=int(budget.upper * share), lower=int(budget.lower * share))
    problem = RowProblem(
        weights=float_weights.reshape(-1, size),
        common=common.reshape(-1, size),
        moments=inputs,
        budgets=less(budget_rows(budget, groups * outputs), taken),
        largest=task.largest,
        tile=tile,
        shared_scale=task.shared_scale,
        power_of_two=task.power_of_two,
    )
    if groups == 1 or outputs == 1:
        solution = solve(problem, task.method, quick=quick)
    elif task.shared_scale:
        # One scale over groups: every row has its group's moments.
        solution = solve(replace(problem, moments=np.repeat(inputs, outputs, 0)), task.method, quick=quick)
    else:
        parts = [solve(_group(problem, inputs, g, outputs), task.method, quick=quick) for g in range(groups)]
        solution = RowSolution(
            np.concatenate([part.codes for part in parts]),
            np.concatenate([part.scales for part in parts]),
            np.concatenate([part.errors for part in parts]),
        )
    if not holds(solution.codes, problem.budgets, tile):
        raise AssertionError(f"layer {task.name}: the solver left its budget")  # a bug: never on any input
    return solution


def _group(problem: RowProblem, inputs: Array, group: int, outputs: int) -> RowProblem:
    rows = slice(group * outputs, (group + 1) * outputs)
    return replace(
        problem,
        weights=problem.weights[rows],
        common=problem.common[rows],
        budgets=problem.budgets[rows],
        moments=inputs[group : group + 1],
    )
