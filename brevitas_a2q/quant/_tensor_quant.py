"""The module that takes the place of Brevitas' ``RescalingIntQuant`` inside a weight quantizer."""

from __future__ import annotations

from typing import Any

import torch
from brevitas import config, is_dynamo_compiling
from torch import Tensor, nn

from brevitas_a2q._brevitas import ZeroZeroPoint
from brevitas_a2q.bounds import weight_range
from brevitas_a2q.quant._functional import (
    Budget,
    a2q_plus_quantize,
    a2q_quantize,
    log2_norm_cap,
    projected_quantize,
)
from brevitas_a2q.quant._functional.tiling import tile_count
from brevitas_a2q.quant._keywords import check_accumulator, check_rounding, check_width, chosen_width
from brevitas_a2q.quant._layout import WeightLayout
from brevitas_a2q.quant._scaling import LearnedScaling

__all__ = ["AccumulatorAwareTensorQuant", "LearnedNormTensorQuant"]


class AccumulatorAwareTensorQuant(nn.Module):
    """Quantize weights by projection onto the budget of their accumulator.

    It keeps the sub-modules of the quantizer it extends under the same names, so that checkpoints of the two agree, and
    uses one scale ``s`` throughout (upstream's A2Q learns two copies that drift apart).

    Args:
        int_quant: Kept for what Brevitas reads off it; the rounding is done here.
        scaling_impl: Computes the scale from the weights.
        int_scaling_impl: Computes what the scale is divided by.
        zero_point_impl: Zero.
        bit_width_impl: Weight bit width M.
        signed: Whether weights are signed.
        narrow_range: Whether they leave out the lowest code.
        accumulator_method: ``"projected"``, ``"a2q"`` or ``"a2q+"``.
        accumulator_bit_width: P; None where nobody chose it, of which a warning tells.
        accumulator_tile: Weights per tile of a multi-stage accumulator.
        weight_layout: Which weights form a dot product.
        budget_aware_scale: Whether a learned scale starts where it loses least within the budget.
        tracked_parameter_list: The weights themselves.
        bit_width: M where it is a constant, so that it need not be read from a tensor.
    """

    def __init__(
        self,
        int_quant: nn.Module,
        scaling_impl: nn.Module,
        int_scaling_impl: nn.Module,
        zero_point_impl: nn.Module,
        bit_width_impl: nn.Module,
        signed: bool,
        narrow_range: bool,
        accumulator_method: str,
        accumulator_bit_width: int | None,
        accumulator_tile: int | None,
        weight_layout: WeightLayout,
        budget_aware_scale: bool,
        tracked_parameter_list: list[nn.Parameter],
        bit_width: int | None = None,
    ) -> None:
        super().__init__()
        accumulator_bit_width = chosen_width(accumulator_bit_width)
        check_accumulator(accumulator_bit_width, accumulator_tile)
        check_rounding(int_quant.get_submodule("float_to_int_impl"), accumulator_method)
        check_width(bit_width, signed, narrow_range)
        self.int_quant = int_quant
        self.scaling_impl = scaling_impl
        self.int_scaling_impl = int_scaling_impl
        self.zero_point_impl = zero_point_impl
        self.msb_clamp_bit_width_impl = bit_width_impl
        self.observer_only = False
        self.signed, self.narrow_range = bool(signed), bool(narrow_range)
        self.method = accumulator_method
        self.accumulator_bit_width = accumulator_bit_width
        self.accumulator_tile = accumulator_tile
        self.layout = weight_layout if accumulator_tile is not None else weight_layout.in_one_piece()
        self.budget_aware_scale = budget_aware_scale
        learned_width = next(bit_width_impl.parameters(), None) is not None
        self._constant_code_range = None if learned_width or bit_width is None else self._codes_of(bit_width)
        self._made_constants: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}
        self._threshold: float | None = None  # of int_scaling_impl, once it has been read
        self._prepare(self.layout.rows(tracked_parameter_list[0].detach()))

    def _prepare(self, rows: Tensor) -> None:
        """Hook for methods with parameters of their own."""

    def _codes_of(self, bits: int) -> tuple[int, int]:
        codes = weight_range(bits, narrow_range=self.narrow_range, signed=self.signed)
        return codes.lo, codes.hi

    @property
    def code_range(self) -> tuple[int, int]:
        """Lowest and highest integer weight; a learned bit width gets no gradient through it."""
        return self._constant_code_range or self._codes_of(int(self.msb_clamp_bit_width_impl().detach()))

    @property
    def configuration(self) -> tuple[object, ...]:
        """What makes two quantizers of the same parts different."""
        widths = (self._constant_code_range, self.accumulator_bit_width, self.accumulator_tile)
        return (*widths, self.method, self.layout, self.budget_aware_scale)

    @property
    def scale_is_due(self) -> bool:
        """Whether the scale is yet to be chosen with the budget in mind."""
        return self.budget_aware_scale and self._scale_is_new()

    def _scale_is_new(self) -> bool:
        """Whether a learned scale is as constructed.

        A copy of the model that was made before its first use, and is now written by averaging (EMA, SWA), holds values
        of the original, which are not to be started over.
        """
        scaling: Any = self.scaling_impl
        if getattr(scaling, "init_done", True):
            return False
        if is_dynamo_compiling() or not isinstance(getattr(scaling, "value", None), nn.Parameter):
            return True
        scaling.init_done = bool((scaling.value.detach() != 1.0).any())
        return not scaling.init_done

    def scale(self, x: Tensor) -> Tensor:
        """Scale ``s`` in Brevitas' shape, kept where ``q * s`` is neither zero nor infinite for any code."""
        scaling: Any = self.scaling_impl
        if self._scale_is_new():
            with torch.no_grad():  # so that the first pass saves for the backward one what every other pass does
                scaling(x, self.int_scaling_impl(self.msb_clamp_bit_width_impl()))
        if self._threshold is None and self._constant_code_range and not is_dynamo_compiling():
            self._threshold = float(self.int_scaling_impl(self.msb_clamp_bit_width_impl()))
        if isinstance(scaling, LearnedScaling) and self._threshold and x.dtype == scaling.value.dtype:
            fast: Tensor = scaling(x, self._threshold)
            return fast
        scale: Tensor = scaling(x, self.int_scaling_impl(self.msb_clamp_bit_width_impl()))
        # Weights and their scale may be of different types, and the products of both need to be finite.
        narrow, wide = torch.finfo(x.dtype), torch.finfo(scale.dtype)
        largest_code = max(self.code_range[1], -self.code_range[0], 1)
        return scale.clamp(max(narrow.tiny, wide.tiny), min(narrow.max, wide.max) / (2 * largest_code))

    def quantize(self, rows: Tensor, scale: Tensor, budget: Budget) -> Tensor:
        """Dequantized weights within the budget.

        Args:
            rows: Weights, one row per dot product.  # shape: (C, K), or (C, ...) with the same rows
            scale: ``s``, C values or one.
            budget: Of one accumulation.

        Returns:
            ``q * s``, shape of ``rows``.
        """

        def project(part: Tensor) -> Tensor:
            return projected_quantize(part, scale, budget, *self.code_range, tile=self.accumulator_tile)

        pieces = self._pieces(rows)
        return project(rows) if len(pieces) == 1 else torch.cat([project(p) for p in rows.split(pieces, 1)], 1)

    def _pieces(self, rows: Tensor) -> list[int]:
        return self.layout.pieces(rows.shape[1]) if self.layout.phases else [rows.shape[1]]

    def tile_sizes(self, rows: Tensor) -> list[int]:
        """Products of each tile of a row, in order; one for all where there are no tiles.

        Args:
            rows: # shape: (C, K)
        """
        tile, sizes = self.accumulator_tile or rows.shape[1], []
        for length in self._pieces(rows):
            sizes += [tile] * (length // tile) + [length % tile] * bool(length % tile)
        return sizes

    def forward(self, x: Tensor, scale: Tensor, budget: Budget) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantize a weight tensor.

        Args:
            x: Weights as the layer stores them.
            scale: From :meth:`scale`.
            budget: Of one accumulation.

        Returns:
            Dequantized weight, scale, zero-point, bit width: what an ordinary ``IntQuantTensor`` is made of.
        """
        zero_point, bit_width = self._constants(x, scale)
        if self.observer_only:
            return x, scale, zero_point, bit_width
        if self.layout.transposed:
            y = self.layout.weight(self.quantize(self.layout.rows(x), scale, budget), tuple(x.shape))
        else:
            y = self.quantize(x, scale, budget)
        return y, scale, zero_point, bit_width

    def _constants(self, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Zero-point and bit width; where both are constants, made once for every type and device."""
        if is_dynamo_compiling() or not (self._constant_code_range and isinstance(self.zero_point_impl, ZeroZeroPoint)):
            bit_width = self.msb_clamp_bit_width_impl()
            return self.zero_point_impl(x, scale, bit_width), bit_width
        found = self._made_constants.get((x.dtype, x.device))
        if found is None:
            with torch.inference_mode(False):
                bit_width = self.msb_clamp_bit_width_impl()
                found = self.zero_point_impl(x, scale, bit_width), bit_width
            self._made_constants[x.dtype, x.device] = found
        return found


class LearnedNormTensorQuant(AccumulatorAwareTensorQuant):
    """A2Q and A2Q+: ``w = g * v / ||v||_1`` with ``g = 2^min(t, T)``, ``t`` learned per channel (and tile).

    ``t`` starts at the norm of the weights, when they are first quantized.
    """

    def _prepare(self, rows: Tensor) -> None:
        tiles = len(self.tile_sizes(rows))
        self.log_norm = nn.Parameter(torch.zeros(rows.shape[0], tiles, dtype=rows.dtype, device=rows.device))
        self.norm_ready = False

    @property
    def centred(self) -> bool:
        """Whether weights are zero-centred (A2Q+)."""
        return self.method == "a2q+"

    @torch.no_grad()
    def set_norm(self, rows: Tensor, at_most: Tensor | None = None) -> None:
        """Set ``t`` to the norm of these rows, in place.

        Args:
            rows: # shape: (C, K)
            at_most: Limit of the norm ``2^t``.  # shape: (C, 1)
        """
        parts = torch.split(rows.detach().double(), self.tile_sizes(rows), dim=1)
        if self.centred:
            parts = tuple(part - part.mean(1, keepdim=True) for part in parts)
        norm = torch.cat([part.abs().sum(1, keepdim=True) for part in parts], 1)
        norm = norm if at_most is None else torch.minimum(norm, at_most)
        self.log_norm.copy_(norm.clamp_min(torch.finfo(self.log_norm.dtype).tiny).log2())
        self.norm_ready = True

    def _start_norm(self, rows: Tensor) -> None:
        # A copy made before its first use and written by averaging since holds norms already.
        self.norm_ready = not is_dynamo_compiling() and bool((self.log_norm.detach() != 0).any())
        if not self.norm_ready:
            self.set_norm(rows)

    def norm_excess(self, scale: Tensor, budget: Budget) -> Tensor:
        """``t - T`` in bits.

        Args:
            scale: ``s``.  # shape: (C, 1) or (1, 1)
            budget: Of one accumulation.

        Returns:
            Positive where the cap binds; 0 where no weight fits at all, since no ``t`` could help.  # shape: (C, tiles)
        """
        excess = self.log_norm - log2_norm_cap(scale, budget, self.centred)
        return torch.where(torch.isfinite(excess), excess, torch.zeros_like(excess))

    def quantize(self, rows: Tensor, scale: Tensor, budget: Budget) -> Tensor:
        """See the base class; ``rows`` give the direction of the weights only."""
        if not self.norm_ready:
            self._start_norm(rows.flatten(1))
        method = a2q_plus_quantize if self.centred else a2q_quantize
        pieces, tile = self._pieces(rows), self.accumulator_tile
        if len(pieces) == 1:
            return method(rows, scale, self.log_norm, budget, *self.code_range, tile=tile)
        norms = self.log_norm.split([tile_count(length, tile) for length in pieces], 1)
        parts = zip(rows.split(pieces, 1), norms, strict=True)
        return torch.cat([method(p, scale, t, budget, *self.code_range, tile=tile) for p, t in parts], 1)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not self.norm_ready:  # as Brevitas does with a scale that is still to be initialized
            del destination[prefix + "log_norm"]

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, metadata: Any, strict: bool, missing: list[str], *rest: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, *rest)
        self.norm_ready = prefix + "log_norm" in state_dict
        if config.IGNORE_MISSING_KEYS and not self.norm_ready:
            missing.remove(prefix + "log_norm")
