"""One network, its data and its float twin: what a pass through it comes to, at any widths."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from brevitas_a2q.bounds import exact_range, required_bit_width
from brevitas_a2q.errors import A2QError, ConfigError, ModelError
from brevitas_a2q.ptq._activations import ActivationType
from brevitas_a2q.ptq._calibration import Batch, Calibration, call
from brevitas_a2q.ptq._config import AUTO, PostTrainingConfig
from brevitas_a2q.ptq._held_out import Agreement, Judge, check_output
from brevitas_a2q.ptq._journal import Journal
from brevitas_a2q.ptq._layer import MAX_SEARCHED_BITS, LayerSolution
from brevitas_a2q.ptq._materialize import ModelSpec, check_integers, install_, set_solutions_, spec_of
from brevitas_a2q.ptq._network import Network, float_twin, prepare
from brevitas_a2q.ptq._report import PostTrainingReport, PostTrainingRow
from brevitas_a2q.ptq._sequence import (
    Allowed,
    Widths,
    boundary_layers,
    quantize_in_sequence,
    sample_values,
    value_types,
    width_of,
)

__all__ = ["Found", "Progress", "Task"]

Progress = Callable[[str, int, int], None]  # layer, number done, number of all


@dataclass(frozen=True, eq=False)
class Found:
    """What a pass came to."""

    network: Network
    report: PostTrainingReport
    agreement: Agreement

    @property
    def mean_bit_width(self) -> float:
        """Mean P of the layers that have one which binds."""
        narrow = [row.accumulator_bit_width for row in self.report.rows if row.accumulator_bit_width < 32]
        return float(np.mean(narrow)) if narrow else 0.0


@dataclass(frozen=True, eq=False)
class Task:
    """A network, its data, and what its float twin gives for them."""

    prepared: Network
    reference: Network
    data: Calibration
    config: PostTrainingConfig
    values: dict[str, ActivationType]
    judge: Judge
    on_progress: Progress | None
    journal: Journal | None

    @classmethod
    def of(
        cls,
        model: nn.Module,
        data: Calibration,
        config: PostTrainingConfig,
        evaluation: tuple[tuple[Batch, ...], Tensor | None] | None = None,
        progress: Progress | None = None,
        journal: Journal | None = None,
    ) -> Task:
        """Prepare one; ``evaluation`` are batches and labels to judge by, in place of the held-out data.

        Raises:
            ConfigError: A rule that matches no layer.
            ModelError: The model cannot be quantized, or does not run on the data.
        """
        where = f"model {type(model).__name__}"
        with _running(where):
            prepared = prepare(model, call(data.known[0]))
        for rule in config.rules:
            if not any(rule.matches(name) for name in prepared.sites):
                raise ConfigError(
                    "matches no layer",
                    where=f"rule {rule.pattern!r}",
                    remedy=f"layers are {', '.join(list(prepared.sites)[:8])}",
                )
        reference = float_twin(prepared)
        batches, labels = evaluation or (data.held_out, None)
        with _running(where):
            judge = Judge.of(reference.model, batches, labels)
            samples = sample_values(reference, data, config)
        values = value_types(samples, config)
        if journal is not None:
            journal.open(model, data, config)
        return cls(prepared, reference, data, config, values, judge, progress, journal)

    @property
    def bound_layers(self) -> tuple[str, ...]:
        """Layers whose P is to be chosen: not the first and the last, nor those of which a rule says it."""
        widths = width_of(self.prepared, self.config, None)
        return tuple(name for name in self.prepared.sites if widths(name) is None)

    def best(self, bits: int) -> Found:
        """The better of the methods at this P."""
        methods = ("projection", "exchange") if self.config.method == AUTO else (self.config.method,)
        found = [self.at(method, bits) for method in methods]
        tried = {one.report.method: one.report.output_error for one in found}
        least = min(found, key=lambda one: one.report.output_error)
        return replace(least, report=replace(least.report, tried=tried))

    def at(self, method: str, bits: int) -> Found:
        """One pass with this P in every layer."""
        return self.run(method, width_of(self.prepared, self.config, bits), f"{method}-{bits}")

    def run(
        self,
        method: str,
        widths: Widths,
        key: str,
        allowed: Allowed | None = None,
        widest: int = MAX_SEARCHED_BITS,
    ) -> Found:
        """One pass.

        Args:
            method: ``"projection"`` or ``"exchange"``.
            widths: P of each layer; None for the least at which its error is allowed.
            key: Name of the pass in the journal.
            allowed: Error that a layer may have, for those.
            widest: The largest P of those.
        """
        network, times, clock = self.prepared.twin(), dict[str, float](), [time.perf_counter()]
        known = {} if self.journal is None else self.journal.read(key)

        def done(name: str, solution: LayerSolution) -> None:
            times[name] = time.perf_counter() - clock[0]
            clock[0] = time.perf_counter()
            if self.journal is not None and name not in known:
                self.journal.write(key, name, solution)
            if self.on_progress is not None:
                self.on_progress(name, len(times), len(network.sites))

        solutions, passed = quantize_in_sequence(
            network,
            self.reference,
            self.data,
            self.config,
            method=method,
            widths=widths,
            values=self.values,
            known=known,
            on_layer=done,
            allowed=allowed,
            widest=widest,
        )
        spec = self._spec(network, solutions)
        install_(network, spec)
        with warnings.catch_warnings():
            # Brevitas, of a zero-point that the output would have; layers hand out plain tensors here.
            warnings.filterwarnings("ignore", message="Computing zero point of output accumulator")
            set_solutions_(network, solutions, call(self.data.known[0]))
            check_integers(network, solutions)
            check_output(network.model, self.data.known[0], passed)
            agreement = self.judge.of_model(network.model)
        report = PostTrainingReport(
            rows=tuple(_row(name, network.layers[name], one, times[name]) for name, one in solutions.items()),
            method=method,
            output_error=agreement.error,
            agreement=agreement.agreement,
            accuracy=agreement.accuracy,
            float_score=self.judge.float_score,
            tried={method: agreement.error},
            trials=(),
            not_run=tuple(name for name in network.sites if name not in solutions),
            spec=spec.to_json(),
        )
        return Found(network, report, agreement)

    def _spec(self, network: Network, solutions: dict[str, LayerSolution]) -> ModelSpec:
        boundary = boundary_layers(network, self.config)
        tiles = {
            name: None if name in boundary else self.config.of_layer(name).get("tile") or self.config.tile
            for name in network.sites
        }
        config = self.config
        shared = config.scale == "tensor"
        return spec_of(network, solutions, self.values, tiles, shared_scale=shared, power_of_two=config.power_of_two)


@contextmanager
def _running(where: str) -> Iterator[None]:
    """What a model's code raises on data that are not its own."""
    try:
        yield
    except A2QError:
        raise
    except (RuntimeError, TypeError, ValueError, LookupError, AssertionError) as error:
        raise ModelError(
            f"does not run on the calibration data ({error})",
            where=where,
            expected="batches of its inputs, each of which may have another number of samples",
        ) from error


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
