"""Steps that FINN's own builder lacks, for networks that it could build.

A hand-over copies this file as ``own_steps.py``. FINN is imported where it is used: what rewrites the graph needs
qonnx alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames
from qonnx.transformation.infer_data_layouts import InferDataLayouts
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.basic import get_by_name

FORWARD, BACK = [0, 2, 3, 1], [0, 3, 1, 2]  # channels last, and first again
JOINS = ("Concat", "Mul")
_MEANS = ("GlobalAveragePool", "ReduceMean")
_GENERAL = "qonnx.custom_op.general"


def step_quantizers(model: Any, config: Any) -> Any:
    """A ReLU in front of every unsigned quantizer, which loses nothing by it: FINN reads no other ones."""
    for node in [
        n for n in model.graph.node if n.op_type in ("Quant", "IntQuant") and n.input[0] in _streams(model, n)
    ]:
        signed, zero = get_by_name(node.attribute, "signed"), model.get_initializer(node.input[2])
        before = model.find_producer(node.input[0])
        if (signed is None or signed.i) or zero is None or zero.any() or (before and before.op_type == "Relu"):
            continue
        positive = _tensor(model, model.get_tensor_shape(node.input[0]))
        relu = helper.make_node("Relu", [node.input[0]], [positive])
        model.graph.node.insert(list(model.graph.node).index(node), relu)
        node.input[0] = positive
    kinds = {n.op_type for n in model.graph.node}
    if "BipolarQuant" in kinds and not kinds & {"Quant", "Trunc"}:  # FINN's own step looks for other names
        from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN

        model = model.transform(ConvertQONNXtoFINN())
    return model.transform(GiveUniqueNodeNames())


def step_scales(model: Any, config: Any) -> Any:
    """Scales past branches, joins, averages and padding, until they meet the thresholds that absorb them."""
    from finn.transformation.streamline import Streamline, reorder
    from finn.transformation.streamline.absorb import AbsorbSignBiasIntoMultiThreshold

    names = ("MoveLinearPastFork", "MoveLinearPastEltwiseAdd", "MoveMulPastJoinAdd", "MoveAddPastJoinAdd")
    moved = [getattr(reorder, name)() for name in names if hasattr(reorder, name)]  # not every FINN has all
    model = model.transform(AbsorbSignBiasIntoMultiThreshold())  # before anything else moves it
    model = images_as_units(_settled(model, (Streamline(), *moved), scales_past_joins))
    thresholds_before_flattening(model)
    return _settled(model, (Streamline(), *moved), scales_past_joins)


def step_deconvolutions(model: Any, config: Any) -> Any:
    """Transposed convolutions as convolutions of images with zeros between their pixels."""
    from finn.transformation.fpgadataflow.infer_pixel_padding_deconv import InferPixelPaddingDeconv
    from finn.transformation.streamline import Streamline, reorder

    model = _settled(model, (Streamline(), reorder.MoveScalarMulPastConvTranspose()))
    return model.transform(InferPixelPaddingDeconv()).transform(InferDataTypes())


def step_layouts(model: Any, config: Any) -> Any:
    """Transpositions past branches and joins, until they meet; thresholds of integers, rounded."""
    from finn.transformation.streamline import Streamline
    from finn.transformation.streamline.absorb import AbsorbConsecutiveTransposes, AbsorbTransposeIntoMultiThreshold
    from finn.transformation.streamline.reorder import (
        MakeMaxPoolNHWC,
        MakeScaleResizeNHWC,
        MoveTransposePastFork,
        MoveTransposePastJoinAdd,
    )
    from finn.transformation.streamline.round_thresholds import RoundAndClipThresholds

    moved = (MoveTransposePastFork(), MoveTransposePastJoinAdd(), MakeMaxPoolNHWC())
    resized = (InferDataLayouts(), MakeScaleResizeNHWC())
    absorbed = (AbsorbTransposeIntoMultiThreshold(), AbsorbConsecutiveTransposes())
    model = _settled(model, (Streamline(), *absorbed, *moved, *resized), transposes_past_joins)
    for step in (RoundAndClipThresholds(), InferDataLayouts(), _upsampling()):
        model = model.transform(step)
    return model


def step_depthwise(model: Any, config: Any) -> Any:
    """Depthwise convolutions, which main's own steps do not convert."""
    from finn.transformation.fpgadataflow import convert_to_hw_layers as to_hw

    if config.standalone_thresholds:
        model = model.transform(to_hw.InferThresholdingLayer())
    return model.transform(to_hw.InferVectorVectorActivation())


def step_layers(model: Any, config: Any) -> Any:
    """Units that FINN has and its own steps do not convert: which ones depends on the version."""
    from finn.transformation.move_reshape import RemoveCNVtoFCFlatten
    from finn.transformation.streamline.absorb import AbsorbConsecutiveTransposes

    for step in (*_conversions_of_main(), RemoveCNVtoFCFlatten(), AbsorbConsecutiveTransposes(), GiveUniqueNodeNames()):
        model = model.transform(step)
    return model


def _upsampling() -> Any:
    try:
        from finn.transformation.fpgadataflow.convert_to_hw_layers import InferUpsample
    except ImportError:  # finn-plus
        from finn.transformation.fpgadataflow.convert_to_hw.upsample import InferUpsample
    return InferUpsample()


def _conversions_of_main() -> tuple[Any, ...]:
    try:
        from finn.transformation.fpgadataflow import convert_to_hw_layers as to_hw
    except ImportError:  # finn-plus
        return ()
    if not hasattr(to_hw, "InferStreamingMaxPool"):  # dev
        return ()
    streams = (to_hw.InferAddStreamsLayer(), to_hw.InferConcatLayer())
    images = (to_hw.InferStreamingMaxPool(), to_hw.InferPool(), to_hw.InferConvInpGen())
    return (*streams, *images, to_hw.InferDuplicateStreamsLayer())


def scales_past_joins(model: Any) -> Any:
    """Equal factors past concatenations, and any past products of two streams."""
    for node in [n for n in model.graph.node if n.op_type in JOINS and _streams(model, n) == list(n.input)]:
        before = [model.find_producer(name) for name in node.input]
        if not all(_is_alone(model, n) and n.op_type == "Mul" and _streams(model, n) == n.input[:1] for n in before):
            continue
        factors = [model.get_initializer(n.input[1]) for n in before]
        if node.op_type == "Mul":
            factor = np.prod(np.broadcast_arrays(*factors), axis=0)
        elif all(f.size == 1 and f.flat[0] == factors[0].flat[0] for f in factors):
            factor = factors[0]
        else:
            continue
        for n in before[1:]:
            model.graph.node.remove(n)
        _move_past(model, before, node)
        model.set_initializer(before[0].input[1], np.asarray(factor, np.float32))
    return _typed(model)


def transposes_past_joins(model: Any) -> Any:
    """Equal transpositions past concatenations and products of streams."""
    for node in [n for n in model.graph.node if n.op_type in JOINS and _streams(model, n) == list(n.input)]:
        before = [model.find_producer(name) for name in node.input]
        if not all(_is_alone(model, n) and n.op_type == "Transpose" for n in before):
            continue
        orders = [list(get_by_name(n.attribute, "perm").ints) for n in before]
        if any(order != orders[0] for order in orders):
            continue
        for n in before[1:]:
            model.graph.node.remove(n)
        _move_past(model, before, node)
        if node.op_type == "Concat":
            axis = get_by_name(node.attribute, "axis")
            axis.i = orders[0][axis.i % len(orders[0])]
    return _typed(model)


def thresholds_before_flattening(model: Any) -> None:
    """Thresholds that are the same for all channels, on an image that is flattened behind them."""
    for node in [n for n in model.graph.node if n.op_type in ("Flatten", "Reshape")]:
        behind = model.find_consumers(node.output[0])
        if len(behind) != 1 or behind[0].op_type != "MultiThreshold":
            continue
        thresholds = model.get_initializer(behind[0].input[1])
        shape = model.get_tensor_shape(node.input[0])
        if len(shape) == 4 and (thresholds == thresholds[:1]).all():
            model.set_initializer(behind[0].input[1], np.repeat(thresholds[:1], shape[1], axis=0))
            _move_past(model, [node], behind[0])


def images_as_units(model: Any) -> Any:
    """Averages of integers as their sums, and zeros around an image, in units that no step of FINN's own makes of them.

    The divisor of an average moves into the thresholds behind, or into a factor: FINN has units for the sum
    over an image (``GlobalAccPool``) and over a window (``Pool``), for no average.
    """
    makers = {"Pad": _padding, "MaxPool": _maximum, **dict.fromkeys(("AveragePool", *_MEANS), _sum)}
    model = _typed(model.transform(GiveUniqueNodeNames()))
    for name in [n.name for n in model.graph.node if n.op_type in makers]:
        node = _named(model, name)
        passing = {"Pad": ("Mul",), "MaxPool": ()}.get(node.op_type, ("Mul", "Add"))
        while _is_alone(model, before := model.find_producer(node.input[0])) and before.op_type in passing:
            if _streams(model, before) != before.input[:1] or not _is_per_channel(model, before):
                break
            _move_past(model, [before], node)
        model = _typed(model)
        node = _named(model, name)
        unit = makers[node.op_type](model, node)
        if unit is not None and model.get_tensor_datatype(node.input[0]).is_integer():
            _replace(model, node, *unit)
    return _typed(model).transform(GiveUniqueNodeNames()).transform(GiveReadableTensorNames())


def _replace(model: Any, node: Any, units: list[Any], count: int) -> None:
    """Put units, between transpositions, in a node's place, and divide their integers by a number."""
    result = model.get_tensor_shape(node.output[0])
    whole = node.output[0] if count == 1 or _divide_thresholds(model, node, count) else _tensor(model, result)
    turned = {"op_type": "Flatten", "axis": 1} if len(result) == 2 else {"op_type": "Transpose", "perm": BACK}
    new = [
        helper.make_node("Transpose", [node.input[0]], list(units[0].input), perm=FORWARD),
        *units,
        helper.make_node(inputs=list(units[-1].output), outputs=[whole], **turned),
    ]
    if whole != node.output[0]:
        factor = model.make_new_valueinfo_name()
        model.set_initializer(factor, np.asarray(1 / count, np.float32))
        new.append(helper.make_node("Mul", [whole, factor], [node.output[0]]))
    place = list(model.graph.node).index(node)
    model.graph.node.remove(node)
    for offset, added in enumerate(new):
        model.graph.node.insert(place + offset, added)


def _maximum(model: Any, node: Any) -> tuple[list[Any], int] | None:
    """A max pool whose input others read too: FINN's own step takes it along the transposition that they share."""
    if len(model.find_consumers(node.input[0])) < 2 or len(model.get_tensor_shape(node.input[0])) != 4:
        return None
    names = ("kernel_shape", "strides", "pads")
    given = {name: get_by_name(node.attribute, name) for name in names}
    kind, shapes = (
        model.get_tensor_datatype(node.input[0]),
        [model.get_tensor_shape(n) for n in (*node.input, *node.output)],
    )
    tensors = [_last(model, shape, kind) for shape in shapes]
    more = {name: list(value.ints) for name, value in given.items() if value is not None}
    return [helper.make_node("MaxPoolNHWC", tensors[:1], tensors[1:], domain=_GENERAL, **more)], 1


def _padding(model: Any, node: Any) -> tuple[list[Any], int] | None:
    given, mode = get_by_name(node.attribute, "pads"), get_by_name(node.attribute, "mode")
    pads = list(given.ints) if given is not None else [int(n) for n in model.get_initializer(node.input[1])]
    value = model.get_initializer(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(1)
    shape, kind = model.get_tensor_shape(node.input[0]), model.get_tensor_datatype(node.input[0])
    if len(shape) != 4 or min(pads) < 0 or any(pads[:2] + pads[4:6]) or np.any(value):
        return None
    if mode is not None and mode.s != b"constant":
        return None
    image = {"ImgDim": shape[2:], "Padding": [*pads[2:4], *pads[6:8]], "numInputVectors": shape[0]}
    more = {**image, "NumChannels": shape[1], "inputDataType": kind.name, "SIMD": shape[1]}
    tensors = _last(model, shape, kind), _last(model, model.get_tensor_shape(node.output[0]))
    return [_unit("FMPadding", *tensors, **more)], 1


def _sum(model: Any, node: Any) -> tuple[list[Any], int] | None:
    """The units of an average, and how many numbers they add."""
    shape, kind = model.get_tensor_shape(node.input[0]), model.get_tensor_datatype(node.input[0])
    if len(shape) != 4 or not kind.is_integer():
        return None
    if node.op_type == "ReduceMean":
        axes = get_by_name(node.attribute, "axes")
        found = axes.ints if axes is not None else [int(n) for n in model.get_initializer(node.input[1])]
        if sorted(axis % 4 for axis in found) != [2, 3]:
            return None
    kernel, stride, pads = (get_by_name(node.attribute, name) for name in ("kernel_shape", "strides", "pads"))
    window = shape[2:] if kernel is None else list(kernel.ints)
    around = [0] * 4 if pads is None else list(pads.ints)
    count, first = int(np.prod(window)), _last(model, shape, kind)
    if window == shape[2:] and not any(around):
        sums = _last(model, [*shape[:2], 1, 1])
        vectors = [shape[0], *shape[2:]]
        more = {"NumChannels": shape[1], "PE": 1, "inputDataType": kind.name, "numInputVectors": vectors}
        return [_unit("GlobalAccPool", first, sums, **more)], count
    image, channels = model.get_tensor_shape(node.output[0])[2:], shape[1]
    windows = _last(model, [shape[0], channels * count, *image], kind)
    bits = max(int(kind.max()) * count, -int(kind.min()) * count - 1).bit_length() + kind.signed()
    sizes = {"Channels": channels, "PE": channels, "KernelSize": window, "OutImgDims": image, "Size": 0}
    types = {"InputDataType": kind.name, "OutputDataType": f"{'INT' if kind.signed() else 'UINT'}{bits}"}
    more = {**sizes, **types, "Function": "QuantAvgPool", "AccumBits": bits, "BatchSize": shape[0]}
    columns = {
        "stride": [1, 1] if stride is None else list(stride.ints),
        "kernel_size": window,
        "pad_amount": around,
        "depthwise": 1,
        "input_shape": str((shape[0], *shape[2:], channels)).replace(" ", ""),
    }
    moved = helper.make_node("Im2Col", [first], [windows], domain=_GENERAL, **columns)
    return [moved, _unit("Pool", windows, _last(model, [shape[0], channels, *image]), **more)], count


def _unit(kind: str, given: str, made: str, **attributes: Any) -> Any:
    domain = {"domain": "finn.custom_op.fpgadataflow", "backend": "fpgadataflow"}
    return helper.make_node(kind, [given], [made], **domain, **attributes)


def _last(model: Any, shape: list[int], kind: Any = DataType["FLOAT32"]) -> str:
    """A new tensor of this shape, channels last."""
    return _tensor(model, [shape[axis] for axis in FORWARD], kind)


def _divide_thresholds(model: Any, node: Any, count: int) -> bool:
    """Multiply the thresholds behind an average, past factors, by the number of what it averages."""
    behind = model.find_consumers(node.output[0])
    while len(behind) == 1 and behind[0].op_type == "Mul" and _streams(model, behind[0]) == behind[0].input[:1]:
        behind = model.find_consumers(behind[0].output[0])
    if len(behind) != 1 or behind[0].op_type != "MultiThreshold":
        return False
    thresholds = model.get_initializer(behind[0].input[1])
    model.set_initializer(behind[0].input[1], np.asarray(thresholds.astype(np.float64) * count, np.float32))
    return True


def _streams(model: Any, node: Any) -> list[str]:
    """Inputs that are no constants."""
    return [name for name in node.input if model.get_initializer(name) is None]


def _is_per_channel(model: Any, node: Any) -> bool:
    """Whether the constant of an image's factor or summand is the same for all pixels."""
    shape = model.get_initializer(node.input[1]).shape
    return all(size == 1 for axis, size in enumerate(reversed(shape)) if axis != 2)


def _is_alone(model: Any, node: Any) -> bool:
    """Whether there is such a node, and nothing reads it twice."""
    return node is not None and not model.is_fork_node(node)


def _move_past(model: Any, before: list[Any], node: Any) -> None:
    """Put the first of the nodes in front of a node behind it, and take their streams."""
    for index, n in enumerate(before):
        node.input[index] = n.input[0]
    moved, between = before[0], _tensor(model, None)
    moved.input[0], moved.output[0], node.output[0] = between, node.output[0], between
    model.graph.node.remove(moved)
    model.graph.node.insert(list(model.graph.node).index(node) + 1, moved)


def _tensor(model: Any, shape: list[int] | None, kind: Any = DataType["FLOAT32"]) -> str:
    info = helper.make_tensor_value_info(model.make_new_valueinfo_name(), TensorProto.FLOAT, shape)
    model.graph.value_info.append(info)
    model.set_tensor_datatype(info.name, kind)
    name: str = info.name
    return name


def _typed(model: Any) -> Any:
    return model.transform(InferShapes()).transform(InferDataTypes())


def _named(model: Any, name: str) -> Any:
    return next(node for node in model.graph.node if node.name == name)


def _settled(model: Any, steps: tuple[Any, ...], own: Any = None) -> Any:
    """All of them again and again, until they change nothing."""
    before = None
    while model.model.SerializeToString() != before:
        before = model.model.SerializeToString()
        for step in steps:
            model = model.transform(step)
        if own is not None:
            model = own(model)
    return model
