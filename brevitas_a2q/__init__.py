"""Accumulator-aware quantization for Brevitas: weights whose dot products cannot overflow P bits, whatever the input.

Names are imported on first use, so that what needs no torch (``bounds``, ``hw``) starts without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brevitas_a2q import bounds as bounds
    from brevitas_a2q import hw as hw
    from brevitas_a2q.config import A2QConfig as A2QConfig
    from brevitas_a2q.config import LayerRule as LayerRule
    from brevitas_a2q.convert import constrain_ as constrain_
    from brevitas_a2q.export.qcdq import export_qcdq as export_qcdq
    from brevitas_a2q.export.qonnx import export_qonnx as export_qonnx
    from brevitas_a2q.ptq import PostTrainingConfig as PostTrainingConfig
    from brevitas_a2q.ptq import quantize_post_training_ as quantize_post_training_
    from brevitas_a2q.quant.init import ep_init_ as ep_init_
    from brevitas_a2q.quant.init import scale_init_ as scale_init_
    from brevitas_a2q.quant.injectors import accumulator_aware as accumulator_aware
    from brevitas_a2q.quant.layers import accumulator_layers as accumulator_layers
    from brevitas_a2q.quant.penalty import a2q_penalty as a2q_penalty
    from brevitas_a2q.quant.quantizers import Int8A2QPlusWeightPerChannelFloat as Int8A2QPlusWeightPerChannelFloat
    from brevitas_a2q.quant.quantizers import Int8A2QWeightPerChannelFloat as Int8A2QWeightPerChannelFloat
    from brevitas_a2q.quant.quantizers import (
        Int8ProjectedA2QWeightPerChannelFloat as Int8ProjectedA2QWeightPerChannelFloat,
    )
    from brevitas_a2q.quant.state import accumulator_state as accumulator_state
    from brevitas_a2q.verify.certify import certify as certify
    from brevitas_a2q.verify.simulate import simulate as simulate

__version__ = "0.1.0"

_MODULES = ("bounds", "hw")
# Name -> module that defines it. Extended as features land; INTERFACE names stay put.
_NAMES: dict[str, str] = {
    "Int8A2QPlusWeightPerChannelFloat": "brevitas_a2q.quant.quantizers",
    "Int8A2QWeightPerChannelFloat": "brevitas_a2q.quant.quantizers",
    "Int8ProjectedA2QWeightPerChannelFloat": "brevitas_a2q.quant.quantizers",
    "A2QConfig": "brevitas_a2q.config",
    "LayerRule": "brevitas_a2q.config",
    "a2q_penalty": "brevitas_a2q.quant.penalty",
    "accumulator_state": "brevitas_a2q.quant.state",
    "constrain_": "brevitas_a2q.convert",
    "ep_init_": "brevitas_a2q.quant.init",
    "scale_init_": "brevitas_a2q.quant.init",
    "accumulator_aware": "brevitas_a2q.quant.injectors",
    "accumulator_layers": "brevitas_a2q.quant.layers",
    "certify": "brevitas_a2q.verify.certify",
    "export_qcdq": "brevitas_a2q.export.qcdq",
    "export_qonnx": "brevitas_a2q.export.qonnx",
    "PostTrainingConfig": "brevitas_a2q.ptq",
    "quantize_post_training_": "brevitas_a2q.ptq",
    "simulate": "brevitas_a2q.verify.simulate",
}

__all__ = ["__version__", *_MODULES, *_NAMES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"brevitas_a2q.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'brevitas_a2q' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
