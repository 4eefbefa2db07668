"""The least P of each layer with which a network keeps its score: sensitivity first, then a search.

1. One P for every layer, halved in: the narrowest with which the score stays. Its layers' errors say how much error
   the network bears.
2. How much of a layer's error arrives at the output: noise of a known power on the layer's output in the float network,
   and the error of the network's output over it (its gain).
3. To first order the output's error is the sum of gain times error over the layers, and each further bit of a layer
   divides its error by about four. The sum of all P is least, then, where gain times error is the same for every
   layer. That one number is halved in, each step a whole pass, every layer with the least P at which its error is
   allowed.

Every step is judged by the finished network on data that it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from brevitas_a2q.errors import ModelError
from brevitas_a2q.ptq._calibration import Batch
from brevitas_a2q.ptq._config import AUTO
from brevitas_a2q.ptq._held_out import compare, outputs
from brevitas_a2q.ptq._layer import MAX_SEARCHED_BITS, NARROWEST
from brevitas_a2q.ptq._report import WidthTrial
from brevitas_a2q.ptq._sequence import width_of
from brevitas_a2q.ptq._task import Found, Task

__all__ = ["OnTrial", "gains", "least_widths"]

OnTrial = Callable[[nn.Module, WidthTrial], None]  # a finished network, and how it did
_STEPS: Final = 5  # of the search for the error of all layers
_OCTAVES: Final = 4.0  # up and down from where that of the narrowest single P is
_NOISE: Final = 0.01  # power of the noise, relative to that of a layer's output
_FEW: Final = 128  # samples that gains are measured on
_LEAST_GAIN: Final = 1e-3
_MOST_ERROR: Final = 0.5


def least_widths(task: Task, on_trial: OnTrial | None = None, best: Found | None = None) -> Found:
    """Find them.

    Args:
        task: A network with its data; its tolerance is what the score may lose.
        on_trial: Called with every network that was tried.
        best: A pass with one P for all layers, which none may exceed and whose score is to stay; None to look for that
            P first, and to keep the float network's score.

    Returns:
        The pass of least mean P whose score stays, with all that were tried in its report.

    Raises:
        ModelError: None does.
    """
    search = _Search(task, on_trial, [])
    if best is None:
        wanted, widest = task.judge.float_score - task.config.tolerance, MAX_SEARCHED_BITS
        best = search.one_width(wanted)
    else:
        wanted, widest = best.agreement.score - task.config.tolerance, max(_widths(best))
        search.note(best, "one P")
    return search.per_layer(best, wanted, widest)


@dataclass(frozen=True, eq=False)
class _Search:
    task: Task
    on_trial: OnTrial | None
    trials: list[WidthTrial]

    @property
    def method(self) -> str:
        return "exchange" if self.task.config.method == AUTO else self.task.config.method

    def note(self, found: Found, kind: str, error: float | None = None) -> Found:
        report, agreement = found.report, found.agreement
        trial = WidthTrial(kind, found.mean_bit_width, agreement.score, agreement.error, error)
        self.trials.append(trial)
        if self.on_trial is not None:
            self.on_trial(found.network.model, trial)
        return replace(found, report=report)

    def one_width(self, wanted: float) -> Found:
        low, high, best = NARROWEST - 1, MAX_SEARCHED_BITS + 1, None
        while high - low > 1:
            middle = (low + high) // 2
            try:
                found = self.note(self.task.at(self.method, middle), "one P")
            except ModelError:  # a layer whose budget holds no weight at all
                low = middle
                continue
            if found.agreement.score >= wanted:
                best, high = found, middle
            else:
                low = middle
        if best is None:
            raise ModelError(
                f"no width keeps the score within {self.task.config.tolerance} points",
                where="post-training quantization",
                expected=f"a {self.task.judge.metric} of at least {wanted:.1f} %",
                remedy="allow a larger tolerance, more activation bits, or give more calibration data",
            )
        return best

    def per_layer(self, best: Found, wanted: float, widest: int) -> Found:
        task = self.task
        gain = gains(task)
        errors = {row.name: row.output_error for row in best.report.rows if row.name in gain}
        if errors:
            middle = float(np.log2(np.mean([gain[name] * error for name, error in errors.items()]) + 1e-12))
            low, high = middle - _OCTAVES, middle + _OCTAVES
            for step in range(_STEPS):
                if best.mean_bit_width <= NARROWEST:
                    break
                level = 2.0 ** ((low + high) / 2)
                allowed = {name: min(_MOST_ERROR, level / gain[name]) for name in gain}
                widths = width_of(task.prepared, task.config, None)
                key = f"least-{step}-{level:.6g}"
                found = self.note(task.run(self.method, widths, key, allowed.get, widest), "per layer", level)
                keeps = found.agreement.score >= wanted
                if keeps and found.mean_bit_width < best.mean_bit_width:
                    best = found
                low, high = ((low + high) / 2, high) if keeps else (low, (low + high) / 2)
        rows = tuple(replace(row, gain=gain.get(row.name)) for row in best.report.rows)
        return replace(best, report=replace(best.report, rows=rows, trials=tuple(self.trials)))


def gains(task: Task) -> Mapping[str, float]:
    """How much of a layer's error arrives at the network's output, of every layer whose P is to be chosen.

    Args:
        task: Its float network is measured, on some of the calibration data.
    """
    batches: list[Batch] = []
    for batch in task.data.known:
        batches.append(batch)
        if sum(len(next(iter((*args, *kwargs.values())))) for args, kwargs in batches) >= _FEW:
            break
    model, layers = task.reference.model, task.reference.layers
    expected = outputs(model, batches)
    found = {}
    for index, name in enumerate(task.bound_layers):
        generator = torch.Generator().manual_seed(task.config.seed + index)
        handle = layers[name].register_forward_hook(_noise(generator))
        try:
            error = compare(expected, outputs(model, batches)).error
        finally:
            handle.remove()
        found[name] = max(_LEAST_GAIN, error / _NOISE)
    return found


def _noise(generator: torch.Generator) -> Any:
    def hook(layer: Any, inputs: Any, output: Tensor) -> Tensor:
        deviation = (_NOISE * output.var(correction=0)) ** 0.5
        return output + deviation * torch.randn(output.shape, generator=generator, dtype=output.dtype)

    return hook


def _widths(found: Found) -> list[int]:
    return [row.accumulator_bit_width for row in found.report.rows if row.accumulator_bit_width < 32] or [
        MAX_SEARCHED_BITS
    ]
