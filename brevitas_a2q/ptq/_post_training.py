"""``quantize_post_training_``: narrow accumulators for a trained network, without training it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from brevitas_a2q.errors import ConfigError, DataError
from brevitas_a2q.ptq._calibration import Calibration
from brevitas_a2q.ptq._config import AUTO, PostTrainingConfig
from brevitas_a2q.ptq._journal import Journal
from brevitas_a2q.ptq._least_widths import OnTrial, least_widths
from brevitas_a2q.ptq._precision import in_precision_of
from brevitas_a2q.ptq._report import PostTrainingReport
from brevitas_a2q.ptq._task import Found, Progress, Task

__all__ = ["Progress", "quantize_post_training_"]


def quantize_post_training_(
    model: nn.Module,
    calibration: Any,
    config: PostTrainingConfig | Mapping[str, Any] | None = None,
    *,
    accumulator_bit_width: int | str | None = None,
    evaluation: Any = None,
    on_progress: Progress | None = None,
    on_trial: OnTrial | None = None,
    journal: Journal | None = None,
) -> PostTrainingReport:
    """Quantize a network so that its P-bit accumulators cannot overflow, without training it, in place.

    Layer by layer, in the order in which they run: the number of activation bits N is chosen together with the weights,
    for fewer of them leave more of the budget to the weights. Integer weights and scales are solved for least error of
    the layer's output against the float network, within the exact budget, and the bias makes up for the mean error; see
    ``docs/ptq.md``. Batch norms are folded first. The result is an ordinary accumulator-aware Brevitas model in
    evaluation mode: it can be certified, exported and trained. A Brevitas model keeps its activations. A model of
    half or double precision gets it back where all integers stay what they are; it is judged in single precision.

    Args:
        model: Float model, or one of ``brevitas.nn``; as it was if anything fails.
        calibration: A tensor of samples, a list of batches, or a loader; a few hundred samples of the usual kind. Of
            tuples the first entry is taken, mappings are keyword arguments, and ``attention_mask`` tells which tokens
            count.
        config: Settings; None for the defaults.
        accumulator_bit_width: P, instead of the configuration's; ``"auto"`` for the least of each layer.
        evaluation: Data to judge by, like ``calibration``, or a pair of such data and labels (integers, one for each
            sample), so that accuracy is the measure; None for agreement with the float network on held-out
            calibration data.
        on_progress: Called with every layer that is done.
        on_trial: Called with every network that the search for least widths has finished, and how it did.
        journal: Where solved layers are kept, to go on after an interruption.

    Returns:
        What was done to each layer, and how the output compares on held-out data.

    Raises:
        ConfigError: A configuration that is none, or a rule that matches no layer.
        DataError: Data that cannot be used; names the batch or layer.
        ModelError: A model that cannot be quantized; names the layer.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
        >>> report = quantize_post_training_(model, torch.randn(256, 8), accumulator_bit_width=10)
        >>> [(row.accumulator_bit_width, row.required_bit_width <= 10) for row in report.rows[1:-1]]
        [(10, True)]
    """
    config = _config(config, accumulator_bit_width)
    data = Calibration.of(calibration, config.held_out, config.batch_size)
    judged = None if evaluation is None else _judged(evaluation, config.batch_size)
    found = _found(Task.of(model, data, config, judged, on_progress, journal), on_trial)
    devices = {parameter.device for parameter in model.parameters()}
    kept = in_precision_of(model, found.network.model, data.known[0])
    result = kept.model.to(devices.pop()) if len(devices) == 1 else kept.model
    model.__class__ = type(result)
    model.__dict__ = result.__dict__
    return replace(found.report, dtype=kept.dtype, dtype_reason=kept.reason)


def _found(task: Task, on_trial: OnTrial | None) -> Found:
    bits = task.config.accumulator_bit_width
    if bits == AUTO:
        return least_widths(task, on_trial)
    best = task.best(int(bits))
    return least_widths(task, on_trial, best) if task.config.per_layer else best


def _judged(evaluation: Any, batch_size: int) -> Any:
    """Batches and labels."""
    labels = None
    if isinstance(evaluation, tuple) and len(evaluation) == 2:
        evaluation, labels = evaluation
        try:
            labels = torch.as_tensor(labels).cpu().reshape(-1)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"found {type(labels).__name__}", where="labels", expected="integers") from error
        if labels.is_floating_point() or labels.is_complex():
            raise DataError(f"found {labels.dtype}", where="labels", expected="integers")
    return Calibration.to_judge(evaluation, batch_size), labels


def _config(
    config: PostTrainingConfig | Mapping[str, Any] | None, accumulator_bit_width: int | str | None
) -> PostTrainingConfig:
    if isinstance(config, Mapping):
        config = PostTrainingConfig.from_dict(config)
    config = PostTrainingConfig() if config is None else config
    if not isinstance(config, PostTrainingConfig):
        raise ConfigError(
            f"found {config!r} as configuration", where="quantize_post_training_", expected="a PostTrainingConfig"
        )
    if accumulator_bit_width is not None:
        config = replace(config, accumulator_bit_width=accumulator_bit_width)
    return config
