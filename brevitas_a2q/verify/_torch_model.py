"""The integer dot products of a Brevitas model: weights from its quantizers, input ranges from one traced pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from brevitas_a2q._ir.dot_product import MORE_WEIGHTS, DotProductLayer, IntArray
from brevitas_a2q._ranges import Value, Window, table
from brevitas_a2q._ranges.products import Product, product_ranges
from brevitas_a2q._trace import (
    Doubts,
    Trace,
    as_written,
    evaluating,
    is_brevitas_product,
    plain_tensor,
    quantized_layers,
    repeated,
    run_both_ways,
    uncompiled,
    upright,
)
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant._arrivals import arrived, follows_inputs
from brevitas_a2q.verify._torch_layers import IntegerLayer, UncoveredError, arguments, integers, spatial_padding
from brevitas_a2q.verify._uncovered import uncovered_parts

_Found = tuple[dict[str, DotProductLayer], dict[str, UncoveredError]]
_ROUNDS: Final = 4  # until ranges stand; the first one widens them, as the rest rests on types

__all__ = ["bounded", "check_product", "dot_product_layer", "layers_of", "read_model"]


def read_model(model: nn.Module, example_inputs: Any) -> tuple[tuple[DotProductLayer, ...], tuple[str, ...]]:
    """Every quantized linear or convolutional layer of a model as integers, in the order in which they run.

    Works on layers of any integer weight quantizer, Brevitas' own included. A layer that runs more than once gets the
    union of its input ranges; where its integers differ from one call to the next (an integer bias at the scale of each
    call), each call that has other ones is listed by itself, as ``name (call 2)``.

    Args:
        model: Any PyTorch model with Brevitas layers; it is left as it was.
        example_inputs: One tensor or array, or a tuple of positional arguments; any values do, for ranges come from
            the quantizers' types.

    Returns:
        The layers; and what stays outside of a certificate of them, each as ``"name: reason"``.

    Raises:
        ModelError: Not one layer can be bounded; of the first, why.
    """
    model = uncompiled(model)
    if not any(True for _ in quantized_layers(model)):
        raise ModelError(
            "found no quantized layer",
            where=f"model {type(model).__name__}",
            expected="layers of brevitas.nn with a weight quantizer",
            remedy="build it from brevitas.nn, or convert it with brevitas_a2q.constrain_",
        )
    given = arguments(model, example_inputs)
    with evaluating(model), as_written():
        if any(follows_inputs(layer) or "weight" not in layer._parameters for _, layer in quantized_layers(model)):
            # Layers learn what reaches them now, and say where their weights change by it; hooks that make weights of
            # other parameters (as pruning does) make them of what these are by now.
            model(*given)
        trace, (found, refused) = _settled(model, given)
    refused |= _of_changing_weights(model, trace.changed)
    layers = tuple(layer for name, layer in found.items() if name.partition(" (call ")[0] not in refused)
    if not layers and refused:
        raise next(iter(refused.values()))
    reasons = {name: error.found for name, error in refused.items()}
    return layers, uncovered_parts(model, [layer.name for layer in layers], reasons, trace)


def _of_changing_weights(model: nn.Module, changed: Collection[str]) -> dict[str, UncoveredError]:
    """Layers of whose tensors the model has written or replaced some: the next run has other weights."""
    found: dict[str, UncoveredError] = {}
    for name, layer in quantized_layers(model):
        before = "" if layer is model else f"{name}."
        own = (tensor.removeprefix(before) for tensor in changed if tensor.startswith(before))
        if tensor := next(
            (each for each in own if each.partition(".")[0] not in ("input_quant", "output_quant")), None
        ):
            found[name] = UncoveredError(
                f"{tensor} changes while the model runs",
                where=f"layer {name}",
                expected="weights that stay as they are",
                remedy="change them outside of forward",
            )
    return found


def _settled(model: nn.Module, given: tuple[Any, ...]) -> tuple[Trace, _Found]:
    """A traced run whose weights are those of every later run: no integer that can arrive widens their ranges."""
    arriving: dict[str, list[Value]] = {}
    for number in range(_ROUNDS):
        trace, found = repeated(model, lambda doubts: _traced(model, given, doubts, arriving))
        layers = {name: layer for name, layer in quantized_layers(model) if name in found[0]}
        following = {name: layer for name, layer in layers.items() if follows_inputs(layer)}
        changed = [_settle(layer, arriving[name], once=not number) for name, layer in following.items()]
        if not any(changed):
            return trace, found
    raise ModelError(
        "what arrives at a layer depends on the weights that are made for it",
        where=f"model {type(model).__name__}",
        expected="ranges that stand",
        remedy="put a QuantIdentity before each layer",
    )


def _settle(layer: Any, arriving: Sequence[Value], once: bool) -> bool:
    ranges = [found for value in arriving if (found := arrived(value)) is not None]
    codes = [value.codes.raw_range for value in arriving if value.codes is not None]
    raw = _around([code or found for code, found in zip(codes, ranges, strict=True)]) if any(codes) else None
    proxy = layer.weight_quant
    return bool(proxy.arrivals.settle(proxy, _around(ranges), raw, once))


def _around(ranges: Sequence[IntRange]) -> IntRange:
    return IntRange(min(each.lo for each in ranges), max(each.hi for each in ranges))


def _traced(
    model: nn.Module, given: tuple[Any, ...], doubts: Doubts, arriving: dict[str, list[Value]]
) -> tuple[Trace, _Found]:
    """One traced run: the layers found in it, and those that are not covered; what arrives at the former."""
    found: dict[str, DotProductLayer] = {}
    refused: dict[str, UncoveredError] = {}
    trace = Trace(model, doubts=doubts)
    arriving.clear()
    left = MORE_WEIGHTS  # as the reader of files has, so that a file's layers are the model's

    def record(name: str, layer: Any, original: Any, x: Any, weight: Any, bias: Any) -> Any:
        nonlocal left
        try:
            check_product(name, original)
            value = bounded(name, layer, x, trace)
            assert value.codes is not None
            whole = IntegerLayer.of(name, layer, _tensor(value.codes.scale, x), weight, bias)
            _check_codes(name, value, plain_tensor(x))
            of_all_taps = dot_product_layer(whole, value)
            seen = _where_covered(of_all_taps, layer, value)
            if seen is not of_all_taps and seen.weights.size > left:
                seen = of_all_taps  # which is never too few
            left -= seen.weights.size if seen is not of_all_taps else 0
            _keep(found, seen)
            arriving.setdefault(name, []).append(value)
        except UncoveredError as error:
            refused.setdefault(name, error)
        return original(x, weight, bias)

    trace.calls = record
    with trace.running(*given):
        run_both_ways(trace.asked, model, given, {})
    return trace, (found, refused)


def check_product(name: str, original: Any) -> None:
    """Refuse a layer whose class multiplies something else than its input and its weights.

    Raises:
        UncoveredError: Names the layer.
    """
    if not is_brevitas_product(original):
        raise UncoveredError(
            f"its product is computed by {original.__module__}.{original.__qualname__}",
            where=f"layer {name}",
            expected="the method of brevitas.nn",
            remedy="change inputs or weights outside of inner_forward_impl",
        )


def layers_of(model: nn.Module, example_inputs: Any) -> tuple[DotProductLayer, ...]:
    """The layers of :func:`read_model`."""
    return read_model(model, example_inputs)[0]


def dot_product_layer(whole: IntegerLayer, x: Value) -> DotProductLayer:
    """Rows of products of one layer, for inputs of this value."""
    layer = whole.layer
    weights = _array(whole.weights)
    bias = None if whole.bias is None else _array(whole.bias)
    product = _product(layer)
    rows = product.rows(weights.T if product.op == "MatMul" else weights)
    x_lo, x_hi = product_ranges(product, x, weights.T.shape if product.op == "MatMul" else weights.shape)
    if bias is not None:
        bias = np.repeat(bias, rows.shape[0] // bias.shape[0])
    assert x.codes is not None
    return DotProductLayer(
        name=whole.name,
        op=product.op,
        weights=rows,
        x_lo=x_lo,
        x_hi=x_hi,
        input_bit_width=x.codes.dtype.bit_width,
        input_signed=x.codes.dtype.signed,
        weight_bit_width=whole.weight_bit_width,
        bias=bias,
        accumulator_bit_width=whole.accumulator_bit_width,
        tile=whole.tile,
        range_source=x.origin,
        notes=() if whole.float_bias is None else ("its bias is not an integer and is added after the accumulator",),
        raw=x.codes.raw_range,
        zero_point=getattr(layer.weight_quant, "zero_point_datapath", None) or "subtracted",
    )


def _where_covered(found: DotProductLayer, layer: Any, x: Value) -> DotProductLayer:
    if found.op != "Conv" or layer.padding_mode != "zeros":
        return found
    size = x.shape[2:]
    pads = spatial_padding(layer, size)
    return found.where_covered(Window.of(layer.kernel_size, layer.stride, pads, layer.dilation), size)


def _product(layer: Any) -> Product:
    if isinstance(layer, nn.Linear):
        return Product("MatMul")
    if getattr(layer, "transposed", False):
        return Product("ConvTranspose", layer.groups, tuple(layer.stride), tuple(layer.dilation))
    return Product("Conv", layer.groups)


def bounded(name: str, layer: Any, x: Any, trace: Trace) -> Value:
    """The value of a layer's input, integers at a positive scale, with a batch axis.

    Raises:
        UncoveredError: No quantizer bounds it, or scales differ within a sum; names the layer.
    """
    known = trace.of(x)
    if known is None or known.value.codes is None:
        source = "a constant" if known is None else known.value.origin
        raise UncoveredError(
            f"found an input whose integers cannot be bounded ({source})",
            where=f"layer {name}",
            expected="the output of a quantizer, or of one followed by operations that keep or add integers",
            remedy="set input_quant= on the layer, or put a brevitas.nn.QuantIdentity before it",
        )
    value = upright(known.value)
    if not isinstance(layer, nn.Linear) and value.rank == 1 + len(layer.kernel_size):
        value = table.reshape(value, (1, *value.shape))
    assert value.codes is not None
    scale = value.codes.scale
    summed_apart = not isinstance(layer, nn.Linear) and layer.groups == layer.in_channels
    if scale.size > 1 and not (summed_apart and scale.size == scale.shape[1]):
        by_rows = scale.shape[-1] == 1 if isinstance(layer, nn.Linear) else scale.size == scale.shape[0]
        if not by_rows:
            raise UncoveredError(
                f"found input scales of shape {tuple(scale.shape)}",
                where=f"layer {name}",
                expected="one scale for all inputs of an output",
                remedy="quantize its input per tensor",
            )
    return value


def _tensor(scale: Any, x: Any) -> Tensor:
    tensor = plain_tensor(x)
    return torch.as_tensor(np.asarray(scale), device=tensor.device)


def _check_codes(name: str, value: Value, x: Tensor) -> None:
    """What the example brought lies in the range that was traced."""
    assert value.codes is not None
    seen = integers(x, _tensor(value.codes.scale, x), f"layer {name}, input")
    low, high = int(seen.min()), int(seen.max())
    ends = value.integer_ends()
    if low < int(ends[0].min()) or high > int(ends[1].max()):
        raise ModelError(
            f"found inputs in [{low}, {high}]",
            where=f"layer {name}",
            expected=f"[{ends[0].min()}, {ends[1].max()}] by the {value.origin}",
            remedy="put a QuantIdentity before the layer",
        )


def _keep(found: dict[str, DotProductLayer], seen: DotProductLayer) -> None:
    """Put one more call of a layer to the calls with the same integers, or by itself."""
    name, calls = seen.name, 1
    while name in found:
        if _same_integers(found[name], seen):
            found[name] = _union(found[name], seen)
            return
        calls += 1
        name = f"{seen.name} (call {calls})"
    found[name] = replace(seen, name=name)


def _same_integers(first: DotProductLayer, second: DotProductLayer) -> bool:
    if (first.bias is None) != (second.bias is None) or not np.array_equal(first.weights, second.weights):
        return False
    return first.bias is None or np.array_equal(first.bias, second.bias)  # type: ignore[arg-type]


def _union(first: DotProductLayer, second: DotProductLayer) -> DotProductLayer:
    """One layer that ran twice: the same integers, inputs of either range."""
    wider = first if first.input_bit_width >= second.input_bit_width else second
    sources = dict.fromkeys((first.range_source, second.range_source))
    return replace(
        wider,
        name=first.name,
        x_lo=np.minimum(first.x_lo, second.x_lo),
        x_hi=np.maximum(first.x_hi, second.x_hi),
        input_signed=first.input_signed or second.input_signed,
        range_source=" and ".join(sources),
        raw=_either_raw(first, second),
    )


def _either_raw(first: DotProductLayer, second: DotProductLayer) -> IntRange | None:
    """Codes of two calls; where one has no zero-point its integers are its codes."""
    if first.raw is None and second.raw is None:
        return None
    ends = [layer.raw or IntRange(int(layer.x_lo.min()), int(layer.x_hi.max())) for layer in (first, second)]
    return IntRange(min(end.lo for end in ends), max(end.hi for end in ends))


def _array(tensor: Tensor) -> IntArray:
    return np.asarray(tensor.to("cpu", torch.int64).numpy(), np.int64)
