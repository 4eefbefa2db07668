"""``quantize_post_training_``: narrow accumulators for a trained network, without training it again."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from torch import nn

from brevitas_a2q.bounds import exact_range, required_bit_width
from brevitas_a2q.errors import ConfigError, ModelError
from brevitas_a2q.ptq._activations import ActivationType
from brevitas_a2q.ptq._calibration import Calibration, call
from brevitas_a2q.ptq._config import AUTO, PostTrainingConfig
from brevitas_a2q.ptq._held_out import Agreement, compare, outputs
from brevitas_a2q.ptq._journal import Journal
from brevitas_a2q.ptq._layer import MAX_SEARCHED_BITS, LayerSolution
from brevitas_a2q.ptq._materialize import ModelSpec, check_integers, install_, set_solutions_, spec_of
from brevitas_a2q.ptq._network import Network, float_twin, prepare
from brevitas_a2q.ptq._report import PostTrainingReport, PostTrainingRow, WidthTrial
from brevitas_a2q.ptq._sequence import (
    Widths,
    boundary_layers,
    quantize_in_sequence,
    sample_values,
    value_types,
    width_of,
)

__all__ = ["Progress", "quantize_post_training_"]

Progress = Callable[[str, int, int], None]  # layer, number done, number of all
_HALVINGS: Final = 6
_ERRORS: Final = (-14.0, -1.0)  # exponents of two between which the allowed error of a layer is searched


def quantize_post_training_(
    model: nn.Module,
    calibration: Any,
    config: PostTrainingConfig | Mapping[str, Any] | None = None,
    *,
    accumulator_bit_width: int | str | None = None,
    on_progress: Progress | None = None,
    journal: Journal | None = None,
) -> PostTrainingReport:
    """Quantize a network so that its P-bit accumulators cannot overflow, without training it, in place.

    Layer by layer, in the order in which they run: the number of activation bits N is chosen together with the weights,
    for fewer of them leave more of the budget to the weights. Integer weights and scales are solved for least error of
    the layer's output against the float network, within the exact budget, and the bias makes up for the mean error; see
    ``docs/ptq.md``. Batch norms are folded first. The result is an ordinary accumulator-aware Brevitas model in
    evaluation mode: it can be certified, exported and trained. A Brevitas model keeps its activations.

    Args:
        model: Float model, or one of ``brevitas.nn``; as it was if anything fails.
        calibration: A tensor of samples, a list of batches, or a loader; a few hundred samples of the usual kind. Of
            tuples the first entry is taken, mappings are keyword arguments, and ``attention_mask`` tells which tokens
            count.
        config: Settings; None for the defaults.
        accumulator_bit_width: P, instead of the configuration's; ``"auto"`` for the least of each layer.
        on_progress: Called with every layer that is done.
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
    task = _Task.of(model, data, config, on_progress, journal)
    found = task.found()
    devices = {parameter.device for parameter in model.parameters()}
    result = found.network.model.to(devices.pop()) if len(devices) == 1 else found.network.model
    model.__class__ = type(result)
    model.__dict__ = result.__dict__
    return found.report


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


@dataclass(frozen=True, eq=False)
class _Found:
    network: Network
    report: PostTrainingReport
    solutions: dict[str, LayerSolution]
    agreement: Agreement


@dataclass(frozen=True, eq=False)
class _Task:
    """A network, its data, and what its float twin gives for them."""

    prepared: Network
    reference: Network
    data: Calibration
    config: PostTrainingConfig
    values: dict[str, ActivationType]
    expected: list[Any]
    on_progress: Progress | None
    journal: Journal | None

    @classmethod
    def of(
        cls, model: nn.Module, data: Calibration, config: PostTrainingConfig, progress: Progress | None, journal: Any
    ) -> _Task:
        prepared = prepare(model)
        for rule in config.rules:
            if not any(rule.matches(name) for name in prepared.sites):
                raise ConfigError(
                    "matches no layer",
                    where=f"rule {rule.pattern!r}",
                    remedy=f"layers are {', '.join(list(prepared.sites)[:8])}",
                )
        reference = float_twin(prepared)
        try:
            expected = outputs(reference.model, data.held_out)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ModelError(
                f"does not run on the calibration data ({error})",
                where=f"model {type(model).__name__}",
                expected="batches of its inputs",
            ) from error
        values = value_types(sample_values(reference, data, config), config)
        if journal is not None:
            journal.open(model, data, config)
        return cls(prepared, reference, data, config, values, expected, progress, journal)

    def best(self, bits: int) -> _Found:
        """The better of the methods at this P."""
        methods = ("projection", "exchange") if self.config.method == AUTO else (self.config.method,)
        found = [self.run(method, width_of(self.prepared, self.config, bits), f"{method}-{bits}") for method in methods]
        tried = {one.report.method: one.report.output_error for one in found}
        least = min(found, key=lambda one: one.report.output_error)
        return replace(least, report=replace(least.report, tried=tried))

    def run(self, method: str, widths: Widths, key: str, error: float = 0.0, widest: int = MAX_SEARCHED_BITS) -> _Found:
        """One pass."""
        network, times, clock = self.prepared.twin(), dict[str, float](), [time.perf_counter()]
        known = {} if self.journal is None else self.journal.read(key)

        def done(name: str, solution: LayerSolution) -> None:
            times[name] = time.perf_counter() - clock[0]
            clock[0] = time.perf_counter()
            if self.journal is not None and name not in known:
                self.journal.write(key, name, solution)
            if self.on_progress is not None:
                self.on_progress(name, len(times), len(network.sites))

        solutions = quantize_in_sequence(
            network,
            self.reference,
            self.data,
            self.config,
            method=method,
            widths=widths,
            values=self.values,
            known=known,
            on_layer=done,
            error=error,
            widest=widest,
        )
        spec = self._spec(network, solutions)
        install_(network, spec)
        with warnings.catch_warnings():
            # Brevitas, of a zero-point that the output would have; layers hand out plain tensors here.
            warnings.filterwarnings("ignore", message="Computing zero point of output accumulator")
            set_solutions_(network, solutions, call(self.data.known[0]))
            check_integers(network, solutions)
            agreement = compare(self.expected, outputs(network.model, self.data.held_out))
        report = PostTrainingReport(
            rows=tuple(_row(name, network.layers[name], one, times[name]) for name, one in solutions.items()),
            method=method,
            output_error=agreement.error,
            agreement=agreement.agreement,
            tried={method: agreement.error},
            trials=(),
            not_run=tuple(name for name in network.sites if name not in solutions),
            spec=spec.to_json(),
        )
        return _Found(network, report, solutions, agreement)

    def _spec(self, network: Network, solutions: dict[str, LayerSolution]) -> ModelSpec:
        boundary = boundary_layers(network, self.config)
        tiles = {
            name: None if name in boundary else self.config.of_layer(name).get("tile") or self.config.tile
            for name in network.sites
        }
        config = self.config
        shared = config.scale == "tensor"
        return spec_of(network, solutions, self.values, tiles, shared_scale=shared, power_of_two=config.power_of_two)

    def found(self) -> _Found:
        """What is asked for."""
        if self.config.accumulator_bit_width == AUTO:
            return self.least_widths(MAX_SEARCHED_BITS, 100 - self.config.tolerance)
        bits = int(self.config.accumulator_bit_width)
        best = self.best(bits)
        if not self.config.per_layer:
            return best
        wanted = best.agreement.agreement - self.config.tolerance
        return self.least_widths(bits, wanted, best)

    def least_widths(self, widest: int, wanted: float, best: _Found | None = None) -> _Found:
        """The least P of each layer: the largest error that layers may have with which the network keeps its output.

        Each step runs the whole network, every layer with the least P at which its error is allowed.

        Args:
            widest: Bits that no layer may exceed.
            wanted: Agreement with the float network, in percent.
            best: What to give where nothing narrower will do.
        """
        method = self.config.method if self.config.method != AUTO else best.report.method if best else "exchange"
        low, high = _ERRORS
        trials = []
        for step in range(_HALVINGS):
            middle = (low + high) / 2
            found = self.run(
                method, width_of(self.prepared, self.config, None), f"{step}-{middle}", 2.0**middle, widest
            )
            trials.append(_trial(found, 2.0**middle))
            if found.agreement.agreement >= wanted:
                best, low = found, middle
            else:
                high = middle
        if best is None:
            raise ModelError(
                f"no width keeps the output within {self.config.tolerance} points of the float network's",
                where="post-training quantization",
                remedy="allow a larger tolerance, more activation bits, or give more calibration data",
            )
        return replace(best, report=replace(best.report, trials=tuple(trials)))


def _trial(found: _Found, error: float) -> WidthTrial:
    narrow = [row.accumulator_bit_width for row in found.report.rows if row.accumulator_bit_width < 32]
    mean = float(np.mean(narrow)) if narrow else 0.0
    return WidthTrial(error, mean, found.agreement.agreement, found.agreement.error)


def _row(name: str, layer: Any, solution: LayerSolution, seconds: float) -> PostTrainingRow:
    codes, inputs = solution.codes, solution.activation.range
    tile = layer.weight_quant.accumulator_tile or codes.shape[1]
    needed = 1
    for start in range(0, codes.shape[1], tile):
        part = codes[:, start : start + tile]
        for plus, minus in zip(np.maximum(part, 0).sum(1).tolist(), np.maximum(-part, 0).sum(1).tolist(), strict=True):
            reach = exact_range(plus, minus, inputs)
            needed = max(needed, required_bit_width(reach.lo, reach.hi))
    return PostTrainingRow(
        name=name,
        kind=type(layer).__name__,
        dot_product_size=codes.shape[1],
        weight_bit_width=solution.weight_bit_width,
        activation_bit_width=solution.activation.bit_width,
        activation_kind=solution.activation.kind,
        input_low=inputs.lo,
        input_high=inputs.hi,
        accumulator_bit_width=solution.accumulator_bit_width,
        required_bit_width=needed,
        output_error=solution.output_error,
        zeros=float((codes == 0).mean()),
        shrinkage=solution.shrinkage,
        seconds=seconds,
    )
