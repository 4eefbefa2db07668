"""One pass through a network: every layer is quantized when all of the data have come to it.

What a layer should give is what it gives in the float network; what it is given comes from the layers before it as they
are quantized already. So every layer, and its bias, makes up for errors of those before it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from brevitas_a2q.convert._order import first_and_last
from brevitas_a2q.errors import ConfigError, DataError, ModelError
from brevitas_a2q.ptq._activations import ActivationType, Sample, equalizers, fit, kinds_of, powers
from brevitas_a2q.ptq._calibration import Calibration, call, mask_of
from brevitas_a2q.ptq._config import PostTrainingConfig
from brevitas_a2q.ptq._layer import MAX_SEARCHED_BITS, LayerData, LayerSolution, LayerTask, least_width, quantize_layer
from brevitas_a2q.ptq._lockstep import run_in_lockstep
from brevitas_a2q.ptq._network import Network, Site
from brevitas_a2q.ptq._rows import Geometry, sample_places
from brevitas_a2q.quant._input_range import Claim, HostCopies, seen_range
from brevitas_a2q.quant._layout import WeightLayout

__all__ = [
    "Allowed",
    "Widths",
    "boundary_layers",
    "quantize_in_sequence",
    "sample_values",
    "site_reads_value",
    "value_types",
    "width_of",
]

_WIDE: Final = 32
_LEAST_ROWS: Final = 4096
_ROWS_PER_INPUT: Final = 16  # more of them tell little more about a short row's moments
_LARGEST: Final = 1e15
_MOST_NUMBERS: Final = 1 << 28  # of rows that are held at a time (float32: a gigabyte)

OnLayer = Callable[[str, LayerSolution], None]
Widths = Callable[[str], int | None]  # P of a layer; None for the least that keeps its error
Allowed = Callable[[str], float | None]  # that error, relative to its output's power


def sample_values(reference: Network, calibration: Calibration, config: PostTrainingConfig) -> dict[str, Sample]:
    """What the values are that others than layers read, in the float network."""
    seen: dict[str, list[Tensor]] = {name: [] for name in reference.shared_values}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            seen[name].append(output.detach())

        return hook

    samples: dict[str, list[Sample]] = {name: [] for name in seen}
    handles = [reference.value_modules[name].register_forward_hook(keep(name)) for name in seen]
    try:
        with torch.no_grad():
            for batch in calibration.known:
                call(batch)(reference.model)
                for name, tensors in seen.items():
                    if tensors:
                        samples[name].append(Sample.of(tensors, config.seed))
                        tensors.clear()
    finally:
        for handle in handles:
            handle.remove()
    return {name: Sample.together(parts) for name, parts in samples.items() if parts}


@dataclass(eq=False)
class _Sequence:
    """The state of a pass."""

    network: Network
    reference: Network
    calibration: Calibration
    config: PostTrainingConfig
    method: str
    widths: Widths
    values: dict[str, ActivationType]
    known: dict[str, LayerSolution]
    on_layer: OnLayer
    allowed: Allowed | None = None  # error of a layer whose width is to be found
    widest: int = MAX_SEARCHED_BITS
    solutions: dict[str, LayerSolution] = field(default_factory=dict)

    def arrive(self, name: str, inputs: list[list[Any]]) -> None:
        """Quantize a layer, in place; inputs by network (float, quantized) and batch."""
        if name in self.solutions:
            return
        solution = self.known.get(name) or self._solve(name, inputs[0], inputs[1])
        layer = self.network.layers[name]
        with torch.no_grad():
            rows = torch.from_numpy(solution.codes * solution.scales[:, None]).to(layer.weight.dtype)
            layer.weight.copy_(self._layout(name, layer).weight(rows, tuple(layer.weight.shape)))
            change = torch.from_numpy(solution.bias_change).to(layer.weight.dtype)
            if solution.bias is not None:
                steps = torch.from_numpy(solution.bias * solution.scales) * solution.activation.scale
                layer.bias.copy_(steps.to(layer.weight.dtype))
            elif layer.bias is None:
                layer.bias = nn.Parameter(change)
            else:
                layer.bias.add_(change)
        self.solutions[name] = solution
        self.on_layer(name, solution)

    def change(self, name: str, x: Any) -> Any:
        """What a layer's input becomes: its codes in real units."""
        if self.network.native:
            return x
        return self.solutions[name].activation.quantize(x)

    def _solve(self, name: str, targets: Sequence[Any], prefixes: Sequence[Any]) -> LayerSolution:
        layer, reference = self.network.layers[name], self.reference.layers[name]
        fixed: ActivationType | None = None
        targets = [_plain(x) for x in targets]
        if self.network.native:
            fixed, prefixes = _given(name, layer, prefixes)
        _check_finite(name, (*targets, *prefixes))
        weights = self._layout(name, reference).rows(reference.weight.detach())
        data = self._data(Geometry.of(layer, self._tile(name) is not None), weights, targets, prefixes)
        if name in self.network.integer_biases:
            data = replace(data, bias=reference.bias.detach().double().numpy())
        constant = bool((data.prefix == data.prefix[:1]).all())
        if constant:
            warnings.warn(f"layer {name}: its inputs are constant on the calibration data", stacklevel=2)
        types = [fixed] if fixed else self._types(name, prefixes)
        task = self._task(name, layer)
        if self.widths(name) is None:
            error = (self.allowed(name) if self.allowed is not None else None) or 0.0
            task = replace(task, accumulator_bit_width=least_width(task, data, types, error, self.widest))
        return quantize_layer(task, data, types)

    def _data(
        self, geometry: Geometry, rows: Tensor, targets: Sequence[Tensor], prefixes: Sequence[Tensor]
    ) -> LayerData:
        weights = rows.double().reshape(geometry.groups, -1, rows.shape[1])
        most = _MOST_NUMBERS // max(1, geometry.groups * rows.shape[1])
        wanted = max(64, min(self.config.rows, max(_LEAST_ROWS, _ROWS_PER_INPUT * rows.shape[1]), most))
        masks = [mask_of(batch) for batch in self.calibration.known]
        places = sample_places(geometry, prefixes, masks, wanted, self.config.seed)
        target = torch.cat([geometry.rows(targets[place.batch], place) for place in places])
        prefix = torch.cat([geometry.rows(prefixes[place.batch], place) for place in places])
        if len(target) == 1:  # nothing to judge by but itself
            target, prefix = target.repeat(2, 1, 1), prefix.repeat(2, 1, 1)
        held_out = min(max(1, round(self.config.held_out * len(target))), len(target) - 1)
        return LayerData(target, prefix, weights, held_out)

    def _task(self, name: str, layer: Any) -> LayerTask:
        config, rules = self.config, self.config.of_layer(name)
        boundary = name in self._boundary()
        native_bits = int(layer.weight_quant.quant_injector.bit_width) if self.network.native else 8
        bits = rules.get("weight_bit_width") or config.weight_bit_width or native_bits
        layout = WeightLayout.of(layer)
        return LayerTask(
            name=name,
            accumulator_bit_width=self.widths(name) or _WIDE,
            tile=self._tile(name),
            weight_bit_width=config.boundary_bit_width if boundary else bits,
            shared_scale=config.scale == "tensor" or (layout.transposed and layout.groups > 1),
            power_of_two=config.power_of_two,
            method=self.method,
            shrinkages=config.shrinkages,
            seed=config.seed,
            bias_bit_width=self.network.integer_biases.get(name, 32),
        )

    def _tile(self, name: str) -> int | None:
        tile: int | None = self.config.of_layer(name).get("tile") or self.config.tile
        return None if name in self._boundary() else tile

    def _layout(self, name: str, layer: Any) -> WeightLayout:
        """Order of the products, as the layer's quantizer will have it."""
        layout = WeightLayout.of(layer)
        return layout.in_one_piece() if self._tile(name) is None else layout

    def _boundary(self) -> frozenset[str]:
        return boundary_layers(self.network, self.config)

    def _types(self, name: str, prefixes: Sequence[Tensor]) -> list[ActivationType]:
        """Types that the input of a layer may have, of rising width within a kind."""
        config, site = self.config, self.network.sites[name]
        bits: Sequence[int] = sorted(config.activation_bit_widths)
        asked = config.of_layer(name).get("input_bit_width")
        if asked is not None:
            bits = [asked]
        elif name in self._boundary():
            bits = [config.boundary_bit_width]
        counted, found = self._counted(prefixes), []
        for exponents in ((), *self._equalizers(name, counted)):
            sample = Sample.of([x * powers(exponents, -1) if exponents else x for x in counted], config.seed)
            for kind in kinds_of(sample, config.zero_point, site.rectified):
                for n in bits:
                    if n < 2 and kind == "signed":
                        continue
                    one = fit(sample, n, kind, power_of_two=config.power_of_two)
                    found.append(replace(one, exponents=exponents))
        if site.shared and site.value in self.values and self.values[str(site.value)].bit_width in bits:
            as_it_is = self.values[str(site.value)]
            found = [kind for kind in found if kind.bit_width != as_it_is.bit_width] + [as_it_is]
        if not found:
            raise ConfigError(
                "found activations of 1 bit only, and inputs that are negative, too",
                where=f"layer {name}",
                expected="2 bits or more",
                remedy="add widths to activation_bit_widths, or let activations have a zero-point",
            )
        return found

    def _equalizers(self, name: str, counted: Sequence[Tensor]) -> list[tuple[int, ...]]:
        """For linear layers behind real arithmetic: what a ReLU gives stays as hardware wants it."""
        signed = any(bool((x < 0).any()) for x in counted)
        wanted = self.config.equalize and signed and name not in self._boundary()
        return equalizers(counted) if wanted and isinstance(self.network.layers[name], nn.Linear) else []

    def _counted(self, prefixes: Sequence[Tensor]) -> list[Tensor]:
        """Inputs without the tokens of padding, where the batches say which are."""
        found = []
        for x, batch in zip(prefixes, self.calibration.known, strict=True):
            mask = mask_of(batch)
            fits = mask is not None and tuple(mask.shape) == tuple(x.shape[:-1]) and bool(mask.any())
            found.append(x[mask.bool()] if mask is not None and fits else x)
        return found


def boundary_layers(network: Network, config: PostTrainingConfig) -> frozenset[str]:
    """The first and the last layer where they are not to be constrained, and those that rules skip."""
    names = list(network.sites)
    ends = first_and_last(names, network.calls) if config.skip_first_and_last else frozenset[str]()
    ends = frozenset(name for name in ends if config.of_layer(name).get("skip") is not False)
    return frozenset(ends | {name for name in names if config.of_layer(name).get("skip")})


def _given(name: str, layer: Any, inputs: Sequence[Any]) -> tuple[ActivationType, list[Tensor]]:
    """The type that a Brevitas layer's input has, and the input."""
    quantized = [layer.input_quant(x) for x in inputs]
    for x in quantized:
        if not isinstance(x, IntQuantTensor) or x.scale.numel() != 1:
            raise ModelError(
                "found an input that is not quantized per tensor",
                where=f"layer {name}",
                expected="integers at one scale",
                remedy="set input_quant= on the layer or return_quant_tensor=True on the activation before it",
            )
    # What the inputs' types say, and what came; the certificate traces the whole network afterwards.
    ranges = [r for x in quantized for r in (Claim.of(layer, x, HostCopies()).range, seen_range(x))]
    lo, hi = min(r.lo for r in ranges), max(r.hi for r in ranges)
    bits = int(quantized[0].bit_width)
    kind = ActivationType(bits, "given", float(quantized[0].scale), lo, hi)
    return kind, [x.value.detach() for x in quantized]


def _plain(x: Any) -> Tensor:
    tensor: Tensor = x.value if isinstance(x, IntQuantTensor) else x
    return tensor


def _check_finite(name: str, inputs: Sequence[Tensor]) -> None:
    for x in inputs:
        if not all(bool(torch.isfinite(end)) for end in torch.aminmax(x)):  # which a NaN takes, too
            raise DataError(
                "found activations that are infinite or no numbers",
                where=f"layer {name}",
                expected="finite numbers",
                remedy="look at the network on these data: the layers before it make them",
            )
        if float(max(end.abs() for end in torch.aminmax(x))) > _LARGEST:
            raise DataError(
                f"found activations of up to {float(x.abs().max()):.1e}",
                where=f"layer {name}",
                expected=f"at most {_LARGEST:.0e}, whose squares can be summed",
                remedy="scale the network's weights or its data",
            )


def quantize_in_sequence(
    network: Network,
    reference: Network,
    calibration: Calibration,
    config: PostTrainingConfig,
    *,
    method: str,
    widths: Widths,
    values: dict[str, ActivationType],
    known: dict[str, LayerSolution],
    on_layer: OnLayer,
    allowed: Allowed | None = None,
    widest: int = MAX_SEARCHED_BITS,
) -> tuple[dict[str, LayerSolution], Any]:
    """Quantize a network, whose layers get their weights in real units.

    Args:
        network: Changed in place.
        reference: Its float twin.
        calibration: Data.
        config: What is wanted.
        method: ``"projection"`` or ``"exchange"``.
        widths: P of each layer.
        values: Types of the values that others than layers read.
        known: Solutions of an earlier run that was interrupted.
        on_layer: Called with every layer that is done.
        allowed: Error that a layer may have for which ``widths`` gives no P, relative to its output's power.
        widest: The largest P of such a layer.

    Returns:
        Solutions of the layers that ran, and the output for the first batch.
    """
    state = _Sequence(network, reference, calibration, config, method, widths, values, known, on_layer, allowed, widest)

    def quantized(name: str) -> Any:
        return lambda module, inputs, output: values[name].quantize(output)

    handles = [network.value_modules[name].register_forward_hook(quantized(name)) for name in values]
    try:
        ran = run_in_lockstep(
            [(reference.model, reference.layers, None), (network.model, network.layers, state.change)],
            [call(batch) for batch in calibration.known],
            state.arrive,
        )
    finally:
        for handle in handles:
            handle.remove()
    return state.solutions, ran[1][0]


def value_types(samples: dict[str, Sample], config: PostTrainingConfig) -> dict[str, ActivationType]:
    """Types of values that sums and averages read; full range, for sums reach both ends."""
    return {
        name: fit(
            sample,
            config.shared_bit_width,
            "unsigned" if sample.low >= 0 else "signed",
            power_of_two=config.power_of_two,
            narrow=False,
        )
        for name, sample in samples.items()
    }


def width_of(network: Network, config: PostTrainingConfig, default: int | None) -> Widths:
    """P of every layer: as rules say, else the default; wide at both ends of the network."""
    boundary = boundary_layers(network, config)

    def width(name: str) -> int | None:
        asked = config.of_layer(name).get("accumulator_bit_width")
        return int(asked) if asked is not None else _WIDE if name in boundary else default

    return width


def site_reads_value(site: Site, kind: ActivationType, values: dict[str, ActivationType]) -> bool:
    """Whether a value's own quantizer gives a layer its input, so that the layer needs none."""
    if site.value is None:
        return False
    if site.shared:
        return values.get(site.value) == kind
    return site.alone and kind.kind == "unsigned" and not kind.exponents
