"""The weight proxy of accumulator-aware quantizers: knows the input, returns an ordinary ``IntQuantTensor``."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from brevitas import is_dynamo_compiling
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

import brevitas_a2q.quant._pickling
import brevitas_a2q.quant._transposed  # noqa: F401  so that layers can be pickled, and traced by TorchScript
from brevitas_a2q._brevitas import ScalingPerOutputType, WeightQuantProxyFromInjector, is_exporting
from brevitas_a2q.bounds import IntRange, two_sided_budget
from brevitas_a2q.errors import ExportError, ModelError
from brevitas_a2q.quant._arrivals import Arrivals, Basis
from brevitas_a2q.quant._bias import bias_is_budgeted, clip_bias_, fit_scale, integer_bias, room_for_bias
from brevitas_a2q.quant._compilation import budget_of_tensors, input_ends, makes_plain_weights
from brevitas_a2q.quant._declared import declared_codes, declared_range
from brevitas_a2q.quant._functional import Budget, budget_from_range
from brevitas_a2q.quant._held import Quantized, constant_when_traced, quantized
from brevitas_a2q.quant._layout import WeightLayout, unsliced
from brevitas_a2q.quant._limits import FAR, constant_budget, summable
from brevitas_a2q.quant._output_width import watch_output
from brevitas_a2q.quant._refusals import refuse_gptq, refuse_layers_without_one_accumulator
from brevitas_a2q.quant._reinit import adopt
from brevitas_a2q.quant._scale_search import search_scale_
from brevitas_a2q.quant._zero_points import check_datapath, guards_raw_codes, multiplied

__all__ = ["AccumulatorAwareWeightQuantProxy"]


class AccumulatorAwareWeightQuantProxy(WeightQuantProxyFromInjector):
    """Quantizes the weights of a layer for the integers that reach it.

    The range of the input is taken from the quantized input of each call, or declared by keyword for a layer whose
    input carries none. It is remembered, with the model's state, so that the weights can be asked for without an input.

    Attributes:
        input_lo: Lowest input integer, zero-point subtracted; int64.  # shape: ()
        input_hi: Highest; equal to ``input_lo`` while the range is unknown.
        input_raw: Lowest and highest code before a zero-point is subtracted; zeros without one.  # shape: (2,)
        input_scale: Scale of the input, for the budget of an integer bias; 0 while unknown.
        target_width: P, only there so that a checkpoint of another width can be told.
        range_is_fixed: Whether inputs are no longer looked at; see ``quant.layers.fixed_input_ranges``.
        layer_name: How messages name the layer; its type and shape unless set.
    """

    tensor_quant: Any
    input_scale: Tensor
    _cached_weight: Any

    def __init__(self, quant_layer: nn.Module, quant_injector: Any) -> None:
        refuse_layers_without_one_accumulator(quant_layer)
        layout = WeightLayout.of(quant_layer)
        if layout.transposed and layout.groups > 1:
            # Its weight has no dimension of C entries, so that a scale per channel could not be told to Brevitas.
            quant_injector = quant_injector.let(scaling_per_output=ScalingPerOutputType.TENSOR)
        super().__init__(quant_layer, quant_injector)
        declared = declared_range(quant_injector, self.describe)
        self.register_buffer("input_lo", torch.tensor(declared.lo if declared else 0))
        self.register_buffer("input_hi", torch.tensor(declared.hi if declared else 0))
        self.register_buffer("input_raw", torch.tensor(declared_codes(quant_injector, declared)))
        self.register_buffer("input_scale", torch.zeros(()))
        self.register_buffer("target_width", torch.tensor(self.accumulator_bit_width))
        self.layer_name: str | None = None
        self.range_is_fixed = self._warned = False
        self.zero_point_datapath = check_datapath(quant_injector.accumulator_zero_point, self.describe())
        self.arrivals = Arrivals(Basis.UNKNOWN if declared is None else Basis.DECLARED)
        watch_output(quant_layer, True)

    @property
    def accumulator_bit_width(self) -> int:
        """P: width of the accumulator (of one tile's, where there are tiles), in bits."""
        return int(self.tensor_quant.accumulator_bit_width)

    @property
    def accumulator_tile(self) -> int | None:
        """Weights per tile of a multi-stage accumulator, or None for a single stage."""
        tile: int | None = self.tensor_quant.accumulator_tile
        return tile

    @property
    def method(self) -> str:
        """``"projected"``, ``"a2q"`` or ``"a2q+"``; what is done, where A2Q+ has no room for centring that is A2Q."""
        return str(self.tensor_quant.method)

    @property
    def layout(self) -> WeightLayout:
        """Which weights form a dot product."""
        layout: WeightLayout = self.tensor_quant.layout
        return layout

    @property
    def bounds_whole_sum(self) -> bool:
        """Whether one accumulator of P bits takes the whole dot product, rather than one per tile."""
        tile = self.accumulator_tile
        return tile is None or tile >= self.layout.dot_product_size(tuple(self.tracked_module_list[0].weight.shape))

    @property
    def bias_covered(self) -> bool:
        """Whether the bias, if there is one, is part of the budget.

        A float bias, or an integer one at a scale of its own, is added after the accumulator and is not; neither is
        one added outside of the tiles of a multi-stage accumulator.
        """
        layer = self.tracked_module_list[0]
        return getattr(layer, "bias", None) is None or (bias_is_budgeted(layer) and self.bounds_whole_sum)

    def input_range(self) -> IntRange | None:
        """Integers that one input may take, zero-point subtracted; None before it is known.

        A layer with an input quantizer of its own knows at once, others after an input has reached them.
        """
        known, own = self.remembered_range(), getattr(self.tracked_module_list[0], "input_quant", None)
        if known is None and own is not None and own.is_quant_enabled:
            self._observe(own.internal_forward(force_eval=True))
            known = self.remembered_range()
        return known

    def adopt_input_range(self, other: AccumulatorAwareWeightQuantProxy) -> None:
        """Take over what another quantizer of the same layer knows of its input."""
        for name in ("input_lo", "input_hi", "input_raw", "input_scale"):
            getattr(self, name).copy_(getattr(other, name))

    def integer_weight(self) -> Tensor:
        """Integer weights for the known input range.

        Returns:
            One row per output channel, int64.  # shape: (C, K)

        Raises:
            ModelError: The input range is not known yet.
        """
        with torch.no_grad():
            value, scale, _, _ = self._quantized(self.tracked_module_list[0].weight)
            codes = (value.double() / scale.double()).round().to(torch.int64)
        return self.layout.rows(codes)

    def integer_bias(self) -> Tensor | None:
        """Integer bias that is part of the budget, or None; int64.  # shape: (C,)"""
        layer = self.tracked_module_list[0]
        if not (bias_is_budgeted(layer) and self.bounds_whole_sum):
            return None
        with torch.no_grad():
            scale, _ = self.scale_and_budget(layer.weight)
            return integer_bias(layer, scale, self.input_scale)

    def describe(self) -> str:
        """The layer in messages."""
        layer = self.tracked_module_list[0]
        return f"layer {getattr(self, 'layer_name', None) or f'{type(layer).__name__}({layer.extra_repr()})'}"

    @property
    def requires_quant_input(self) -> bool:
        """Brevitas hands over the input along with the weight, unless the range already known is to be used."""
        return not self.range_is_fixed

    @property
    def requires_export_handler(self) -> bool:
        """Without one the proxy quantizes as usual, so that Brevitas' inference mode works.

        Raises:
            ExportError: One of Brevitas' exporters was called, all of which round the float weights to nearest.
        """
        if self.is_quant_enabled and self.export_handler is None and is_exporting():
            raise ExportError(
                "Brevitas' exporters would write other integers than those that were bounded",
                where=self.describe(),
                remedy="call brevitas_a2q.export_qonnx(model, inputs, path), or export_qcdq for ONNX' own operators",
            )
        return False

    def init_tensor_quant(self, preserve_state_dict: bool = False) -> None:
        """Initialize from the weights again; parameters keep their identity (upstream replaces them)."""
        before = self.tensor_quant
        super().init_tensor_quant(preserve_state_dict)
        if before is not None:
            self.tensor_quant = adopt(before, self.tensor_quant)

    def forward(self, x: Tensor, quant_input: Tensor | IntQuantTensor | None = None) -> Tensor | IntQuantTensor:
        """Quantize weights.

        Args:
            x: Weights of the layer.
            quant_input: Its input, quantized or plain; None means the known range.

        Raises:
            ModelError: No range is known.
        """
        if not self.is_quant_enabled:
            return x
        if self.export_mode and self.export_handler is not None:
            out = self.export_handler(x)
        else:
            if quant_input is not None:
                self._observe(quant_input)
            elif self.range_is_fixed:
                refuse_gptq(self.tracked_module_list[0], self.describe())
            out = self._quantized(x)
        if self.skip_create_quant_tensor or makes_plain_weights(self.tracked_module_list[0]):
            return out[0]
        weight = self.create_quant_tensor(out)
        if not self.training and self.cache_inference_quant_weight and self._cached_weight is None:
            self._cached_weight = self.cache_class(weight.detach(), self.cache_inference_quant_weight_metadata_only)
        return weight

    def add_tracked_module(self, module: nn.Module) -> None:
        """Share the quantizer with one more layer.

        Raises:
            ModelError: One of them has an integer bias: the weights of all would have to fit beside each bias.
        """
        super().add_tracked_module(module)
        self._refuse_shared_bias()

    def _refuse_shared_bias(self) -> None:
        if len(self.tracked_module_list) > 1 and any(bias_is_budgeted(layer) for layer in self.tracked_module_list):
            raise ModelError(
                "an integer bias in layers that share a weight quantizer",
                where=self.describe(),
                remedy="give each layer a quantizer of its own",
            )

    @constant_when_traced
    def _quantized(self, x: Tensor) -> Quantized:
        x = x if is_dynamo_compiling() else unsliced(x)
        if self.tensor_quant.scale_is_due and not is_dynamo_compiling():
            search_scale_(self, x)
        scale, budget = self.scale_and_budget(x)
        return quantized(self.tensor_quant, x, scale, budget)

    def scale_and_budget(self, x: Tensor) -> tuple[Tensor, Budget]:
        """Weight scale in Brevitas' shape, and budget of one accumulation, for weights ``x``.

        Raises:
            ModelError: The input range, or for an integer bias the input's scale, is not known.
        """
        if not is_dynamo_compiling():
            self.require_known_range()  # before the scale, whose initialization is for the first weights quantized
        self._refuse_shared_bias()  # again: a layer gets its bias quantizer after its weight quantizer
        scale = self.tensor_quant.scale(x)
        layer = self.tracked_module_list[0]
        if not (bias_is_budgeted(layer) and self.bounds_whole_sum):
            return scale, self._budget(None)
        if not is_dynamo_compiling():
            self._require(bool(self.input_scale != 0), "its integer bias needs the scale of the input")
        scale = fit_scale(layer, scale, self.input_scale, self.accumulator_bit_width)
        bias, room = integer_bias(layer, scale, self.input_scale), room_for_bias(self.accumulator_bit_width)
        if not is_dynamo_compiling() and bool((bias.abs() > room).any()):
            bias = self._clip_bias(layer, scale, room)
        return scale, self._budget(bias)

    def _clip_bias(self, layer: nn.Module, scale: Tensor, room: int) -> Tensor:
        clip_bias_(layer, room)
        warnings.warn(
            f"{self.describe()}: its bias has no room in {self.accumulator_bit_width} accumulator bits at any scale "
            f"that {scale.dtype} holds, so its codes are limited to {room} from now on; use a wider accumulator or "
            "type, or a bias that is not an integer",
            stacklevel=2,
        )
        return integer_bias(layer, scale, self.input_scale)

    def _budget(self, bias: Tensor | None) -> Budget:
        datapath, bits, ends = self.zero_point_datapath, self.accumulator_bit_width, (self.input_lo, self.input_hi)
        guards_raw = guards_raw_codes(datapath, self.method, bias is not None)
        if is_dynamo_compiling():
            return budget_of_tensors(*ends, self.input_raw, bias, bits, guards_raw, datapath == "raw")
        if guards_raw:
            ends = multiplied(*ends, self.input_raw, datapath == "raw")
        lo, hi = (int(self.arrivals.copies.extremes(f"budget {i}", end)[0]) for i, end in enumerate(ends))
        if bias is None:
            return constant_budget(bits, lo, hi, self._heaviest(), self.input_lo.device)
        return summable(budget_from_range(bits, *ends, bias), lo, hi, self._heaviest())

    def _heaviest(self) -> int:
        """What the magnitudes of a row's codes come to at most."""
        size = self.layout.dot_product_size(tuple(self.tracked_module_list[0].weight.shape))
        return int(size * max(map(abs, self.tensor_quant.code_range)))

    def _observe(self, quant_input: Any) -> None:
        """Remember the range (and scale) of the input; the union of all where several layers share the quantizer."""
        layer = self.tracked_module_list[0]
        with torch.no_grad():
            if not is_dynamo_compiling():
                self.arrivals.observe(self, quant_input)  # which may run the model, this layer included
            elif isinstance(quant_input, IntQuantTensor):
                torch._foreach_copy_([self.input_lo, self.input_hi, self.input_raw], input_ends(self, quant_input))
            elif self.arrivals.basis is not Basis.DECLARED:
                self._observe_plain(quant_input)
            if isinstance(quant_input, IntQuantTensor) and bias_is_budgeted(layer) and quant_input.scale.numel() == 1:
                scale = quant_input.scale.detach().reshape(())
                if self.input_scale.dtype == scale.dtype:
                    self.input_scale.copy_(scale)
                else:  # of its own type, since Brevitas multiplies the two scales as they are
                    self.input_scale = scale.clone()

    @torch.compiler.disable(reason="the range of a plain tensor was traced: whether that still stands is for Python")
    def _observe_plain(self, x: Any) -> None:
        """Leave the graph: a plain tensor has no scale by which its values could be told as integers."""
        self.arrivals.observe(self, x)
        self.require_known_range()

    def remembered_range(self) -> IntRange | None:
        """The range as it is stored, without asking the layer's own input quantizer."""
        read = self.arrivals.copies.extremes
        lo, hi = (int(read(name, getattr(self, name))[0]) for name in ("input_lo", "input_hi"))
        return IntRange(lo, hi) if lo < hi else None

    def remembered_codes(self) -> IntRange | None:
        """The range of codes whose zero-point is not subtracted; None where they have none."""
        lo, hi = self.arrivals.copies.extremes("input_raw", self.input_raw)
        return IntRange(int(lo), int(hi)) if lo < hi else None

    def remember_range(self, found: IntRange, raw: IntRange | None = None) -> None:
        """Store the range of the input with the model's state, and that of its codes where they have a zero-point."""
        if raw != self.remembered_codes():
            ends = (0, 0) if raw is None else (max(raw.lo, -FAR), min(raw.hi, FAR))
            with torch.no_grad():
                self.input_raw.copy_(torch.tensor(ends, device=self.input_raw.device))
        if found.lo == found.hi:  # inputs that are always zero; a range of one integer stands for none
            found = IntRange(0, 1)
        if found == self.remembered_range():
            return
        with torch.no_grad():
            self.input_lo.fill_(max(found.lo, -FAR))
            self.input_hi.fill_(min(found.hi, FAR))
        self._warn_if_nothing_fits(found)

    def forget_range(self) -> None:
        """Know no range any more."""
        torch._foreach_zero_([self.input_lo.data, self.input_hi.data, self.input_raw.data])

    def _warn_if_nothing_fits(self, inputs: IntRange) -> None:
        budget = two_sided_budget(self.accumulator_bit_width, inputs)
        if not self._warned and not (budget.max_positive_sum or budget.max_negative_sum):
            self._warned = True
            warnings.warn(
                f"{self.describe()}: {self.accumulator_bit_width} accumulator bits hold no weight at all for inputs in "
                f"[{inputs.lo}, {inputs.hi}], so all of its weights are zero; use a wider accumulator or fewer "
                f"activation bits",
                stacklevel=2,
            )

    def require_known_range(self) -> None:
        """Raise unless the input range is known.

        Raises:
            ModelError: It is not; the message names the layer and the remedy.
        """
        self._require(self.input_range() is not None, "no quantized input has reached it yet")

    def _require(self, condition: bool, problem: str) -> None:
        if not condition:
            raise ModelError(
                problem,
                where=self.describe(),
                expected="a quantized input",
                remedy="set input_quant= on the layer or return_quant_tensor=True on the activation before it and run "
                "it once, or declare weight_input_bit_width= and weight_input_signed=",
            )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, metadata: Any, strict: bool, missing: list[str], *rest: Any
    ) -> None:
        name = prefix.removesuffix("weight_quant.").rstrip(".")
        saved = state_dict.pop(prefix + "target_width", None)
        if saved is not None and int(saved) != self.accumulator_bit_width:
            warnings.warn(
                f"layer {name or self.describe()}: the checkpoint was trained for a {int(saved)}-bit accumulator; "
                f"the configured {self.accumulator_bit_width} bits are kept",
                stacklevel=2,
            )
        if self.arrivals.basis is Basis.DECLARED:  # by keyword: as the width, it is the configuration's
            for buffer in ("input_lo", "input_hi", "input_raw"):
                state_dict.pop(prefix + buffer, None)
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, *rest)
        self.arrivals.forget()  # the quantizers before it may be others now
        for buffer in ("input_lo", "input_hi", "input_raw", "input_scale", "target_width"):
            if prefix + buffer in missing:
                missing.remove(prefix + buffer)
