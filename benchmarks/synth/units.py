"""Synthesised modules as units of the dataflow graph, so that their features are those that the estimator computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw import _ir as ir
from brevitas_a2q.hw._cost.synthesis.bill import Bill, control_features
from brevitas_a2q.hw._cost.synthesis.dsp import dsp_core_features
from brevitas_a2q.hw._cost.synthesis.rows import RowModel, grid_row_to_prediction
from brevitas_a2q.hw._cost.synthesis.thresholds import block_search_features, saturation_features
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import rom_luts
from brevitas_a2q.hw._units.pool import division_features

PART = Part("xcup", "UltraScale+", lut=230400, ff=460800, bram18=624, uram=96, dsp=1728, dsp_block="DSP48E2")
Parameters = Mapping[str, int]
_FUNCTIONS = ("add", "mul", "cmp_le")


def _common(p: Parameters, channels: int, bits: int, out: int | None = None) -> dict[str, Any]:
    types = {"input_type": IntType.of(bits, True), "output_type": IntType.of(out or bits, True)}
    return {"name": "unit", "inputs": ("",), "pixels": 1, "channels": channels, **types}


def _add(p: Parameters) -> Bill:
    unit = ir.AddStreams(**_common(p, p["PE"], p["WI"], p["WO"]))
    return unit.bill(ir.Folding(pe=p["PE"]), PART)


def _duplicate(p: Parameters) -> Bill:
    return ir.DuplicateStreams(**_common(p, 1, p["W"]), copies=p["N"]).bill(ir.Folding(), PART)


def _concat(p: Parameters) -> Bill:
    unit = ir.Concat(**_common(p, p["N"], p["W"]), input_channels=(1,) * p["N"])
    return unit.bill(ir.Folding(), PART)


def _converter(p: Parameters, gather: bool) -> Bill:
    narrow, wide = p["W"], p["N"] * p["W"]
    sizes = {"input_width": narrow if gather else wide, "output_width": wide if gather else narrow}
    return ir.DataWidthConverter(**_common(p, 1, p["W"]), **sizes).bill(ir.Folding(), PART)


def _fifo(p: Parameters) -> Bill:
    unit = ir.Fifo(**_common(p, 1, p["W"]), width=p["W"], depth=p.get("D", 2))
    return unit.bill(ir.Folding(ram_style="distributed"), PART)


def _channelwise(p: Parameters) -> Bill:
    unit = ir.ChannelwiseOp(
        **_common(p, p["PE"] * p["CF"], p["WI"], p["WO"]),
        function=_FUNCTIONS[p["OP"]],
        parameter_type=IntType.of(p["WP"], True),
    )
    return unit.bill(ir.Folding(pe=p["PE"], ram_style="block"), PART)


def _window(p: Parameters, parallel: bool) -> Bill:
    bits = p.get("B", 4)
    unit = ir.SlidingWindow(
        **_common(p, p["CF"], bits),
        input_dim=(p["H"], p["W"]),
        output_dim=(p.get("OH", 1), p.get("OW", 1)),
        kernel=(p["KH"], p["KW"]),
        stride=(p["SH"], p["SW"]),
        dilation=(1, 1),
        depthwise=False,
    )
    return unit.bill(ir.Folding(ram_style="block", parallel_window=parallel), PART)


def _padding(p: Parameters) -> Bill:
    pad = p["PAD"]
    size = (p["H"] - 2 * pad, p["W"] - 2 * pad)
    if p["STEP"] > 1:
        inner = tuple((n + 2 * pad - 1) // p["STEP"] + 1 for n in size)
        pixel = ir.PixelPadding(**_common(p, p["CF"], p["B"]), input_dim=inner, stride=(p["STEP"],) * 2)
        return pixel.bill(ir.Folding(), PART)
    unit = ir.Padding(**_common(p, p["CF"], p["B"]), input_dim=size, pads=(pad,) * 4)
    return unit.bill(ir.Folding(), PART)


def _down(p: Parameters) -> Bill:
    unit = ir.DownSampler(**_common(p, p["CF"], 4), input_dim=(p["H"], p["W"]), stride=(p["STRIDE"],) * 2)
    return unit.bill(ir.Folding(), PART)


def _line(p: Parameters) -> Bill:
    unit = ir.Upsample(**_common(p, 1, 4), input_dim=(p["H"], p["W"]), scale=(p["SH"], p["SW"]))
    return unit.bill(ir.Folding(ram_style="block"), PART)


def _max_pool(p: Parameters) -> Bill:
    unit = ir.MaxPool(**_common(p, p["C"], p["B"]), input_dim=(p["H"], p["W"]), kernel=(p["KH"], p["KW"]))
    return unit.bill(ir.Folding(ram_style="block"), PART)


def _pool(p: Parameters) -> Bill:
    function = "average" if p["OP"] else "max"
    sizes = {"output_dim": (1, 1), "kernel": (1, p["K"]), "function": function, "accumulator_bit_width": p["WS"]}
    return ir.Pool(**_common(p, p["PE"], p["B"]), **sizes).bill(ir.Folding(pe=p["PE"]), PART)


def _division(p: Parameters) -> Bill:
    bill = Bill()
    bill.circuit("division", division_features(p["WS"], p["K"]), p["PE"])
    return bill


def _global_pool(p: Parameters) -> Bill:
    unit = ir.GlobalAccPool(**_common(p, p["PE"] * p["CF"], p["B"], p["WS"]), input_dim=(1, p["N"]))
    return unit.bill(ir.Folding(pe=p["PE"], ram_style="block"), PART)


def _labels(p: Parameters) -> Bill:
    unit = ir.LabelSelect(**_common(p, p["N"], p["B"]), labels=p["N"], k=p["K"])
    return unit.bill(ir.Folding(pe=p["PE"]), PART)


def _control(p: Parameters) -> Bill:
    bill = Bill()
    bill.circuit("matrix control", control_features(p["SF"], p["NF"]))
    return bill


def _search(p: Parameters) -> Bill:
    bill = Bill()
    bill.circuit("block search", block_search_features(p["B"], p["P"]))
    return bill


def _saturation(p: Parameters) -> Bill:
    bill = Bill()
    bill.circuit("saturation", saturation_features(p["P"], p["V"]))
    return bill


def _dsp(p: Parameters) -> Bill:
    bill = Bill()
    bill.circuit("dsp core", dsp_core_features(p["W"], p["A"], p["SIMD"], p["PE"], p["P"]))
    return bill


BUILDERS: dict[str, Callable[[Parameters], Bill]] = {
    "add streams": _add,
    "duplicate streams": _duplicate,
    "concat": _concat,
    "gathering": lambda p: _converter(p, gather=True),
    "parting": lambda p: _converter(p, gather=False),
    "register fifo": _fifo,
    "fifo": _fifo,
    "channelwise": _channelwise,
    "sliding window": lambda p: _window(p, parallel=False),
    "parallel window": lambda p: _window(p, parallel=True),
    "padding": _padding,
    "down sampler": _down,
    "line reader": _line,
    "matrix control": _control,
    "max pool": _max_pool,
    "pool": _pool,
    "division": _division,
    "global pool": _global_pool,
    "label select": _labels,
    "dsp core": _dsp,
    "block search": _search,
    "saturation": _saturation,
}


def model(circuit: str, parameters: Parameters) -> RowModel:
    """The row as a circuit with features; only a FIFO's own memory is part of its netlist."""
    if circuit == "lut core":
        return grid_row_to_prediction({"component": "mvu_core", **parameters})
    if circuit == "read only memory":
        return RowModel(None, {}, exact=rom_luts(parameters["D"], parameters["W"]))
    bill = BUILDERS[circuit](parameters)
    name, features, copies = bill.circuits[0]
    exact = sum(memory.lut for memory in bill.memories) if circuit == "fifo" else 0
    return RowModel(name, features, int(copies), int(exact))
