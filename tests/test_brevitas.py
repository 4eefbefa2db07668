"""What this package leans on in Brevitas and torch is where it was; a name that moved is told here first."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8WeightPerChannelFloat

import brevitas_a2q
from brevitas_a2q import _brevitas

PACKAGE = Path(brevitas_a2q.__file__).parent
# Whose modules may be imported anywhere: Brevitas' and torch's own faces.
FACES = ("brevitas.nn", "brevitas.quant", "brevitas.quant_tensor", "brevitas.export", "brevitas.config")
BUILDERS = ("brevitas.quant.fixed_point", "brevitas.quant.scaled_int", "brevitas.quant.shifted_scaled_int")


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in _brevitas.BORROWED.items() for name in names]
)
def test_borrowed_names_are_there(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name), f"{module}.{name} has moved: mend brevitas_a2q/_brevitas.py"
    assert getattr(_brevitas, name) is getattr(importlib.import_module(module), name)


LAYER: Any = qnn.QuantConv2d(2, 2, 3, weight_quant=Int8WeightPerChannelFloat, bias=True)
TRANSPOSED: Any = qnn.QuantConvTranspose2d(2, 2, 3)
RELU: Any = qnn.QuantReLU(return_quant_tensor=True)


@pytest.mark.parametrize(
    ("thing", "path"),
    [
        (LAYER, "weight_quant.quant_injector"),
        (LAYER, "weight_quant.tensor_quant.int_quant"),
        (LAYER, "weight_quant.tensor_quant.scaling_impl"),
        (LAYER, "weight_quant.tensor_quant.zero_point_impl"),
        (LAYER, "weight_quant.tensor_quant.msb_clamp_bit_width_impl"),
        (LAYER, "weight_quant.is_quant_enabled"),
        (LAYER, "weight_quant.is_signed"),
        (LAYER, "weight_quant.is_narrow_range"),
        (LAYER, "weight_quant.rounding_mode"),
        (LAYER, "weight_quant.init_tensor_quant"),
        (LAYER, "weight_quant.tracked_module_list"),
        (LAYER, "bias_quant"),
        (LAYER, "input_quant"),
        (LAYER, "output_quant"),
        (LAYER, "_forward_hooks"),
        (TRANSPOSED, "compute_output_padding"),
        (TRANSPOSED, "_output_size"),
        (RELU, "act_quant.fused_activation_quant_proxy"),
        (RELU, "act_quant.is_quant_enabled"),
        (torch.zeros(1), "_version"),
        (torch._C, "_get_tracing_state"),
        (torch._C, "_len_torch_dispatch_stack"),
        (torch._C, "_functorch.maybe_current_level"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_attributes_are_there(thing: Any, path: str) -> None:
    for part in path.split("."):
        assert hasattr(thing, part), f"{part} of {path} has moved"
        thing = getattr(thing, part)


def test_quantized_tensors_have_their_fields() -> None:
    codes = RELU(torch.rand(1, 2, 4, 4))
    assert {"value", "scale", "zero_point", "bit_width", "signed_t", "training_t"} <= set(codes._fields)


def _imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module} | {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }


def test_they_are_borrowed_in_one_place() -> None:
    elsewhere = {
        f"{path.relative_to(PACKAGE)}: {module}"
        for path in PACKAGE.rglob("*.py")
        if path.name != "_brevitas.py"
        for module in _imported(path)
        if (module.startswith("brevitas.") and module not in FACES + BUILDERS)
        or (module.startswith("torch.") and any(part.startswith("_") for part in module.split(".")))
    }
    assert elsewhere == set()
