"""``BREVITAS_JIT=1``, Brevitas' switch for scripted modules, and ``torch.jit.trace``."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from torch import nn

from brevitas_a2q.quant import _quantizers as quantizers

SCRIPTED = """
import warnings
warnings.simplefilter("ignore")
import brevitas.nn as qnn, torch
from brevitas_a2q.quant import _quantizers as quantizers
from brevitas_a2q.quant._activations import quantizers as activations
torch.manual_seed(0)
x = torch.rand(2, 4, 5, 5)
for name in quantizers.__all__:
    torch.manual_seed(1)
    act = qnn.QuantReLU(act_quant=activations.FusedUint8ActPerTensorFloat, bit_width=4, return_quant_tensor=True)
    conv = qnn.QuantConv2d(4, 8, 3, bias=False, weight_quant=getattr(quantizers, name), weight_accumulator_bit_width=10)
    assert act.act_quant.unfused_because is None
    for _ in range(2):
        out = conv(act(x))
        out.sum().backward()
    print(name, float(out.sum()))
"""


def test_brevitas_jit_gives_the_same_values() -> None:
    printed = []
    for switch in ("0", "1"):
        env = {**os.environ, "BREVITAS_JIT": switch, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, "-c", SCRIPTED], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        printed.append([line.split() for line in done.stdout.splitlines()])
    assert len(printed[0]) == len(quantizers.__all__)
    for (name, plain), (other, scripted) in zip(*printed, strict=True):
        assert name == other
        assert float(plain) == pytest.approx(float(scripted), rel=1e-5)


@pytest.mark.parametrize("tile", [None, 7])
@pytest.mark.parametrize("name", ["Int8ProjectedA2QWeightPerChannelFloat", "Int8A2QPlusWeightPerChannelFloat"])
@pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore:`torch.jit:FutureWarning"
)
def test_models_can_be_traced_and_saved(name: str, tile: int | None) -> None:
    options = {"weight_accumulator_bit_width": 12, "weight_accumulator_tile": tile}
    act = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
    model = nn.Sequential(act, qnn.QuantConv2d(4, 8, 3, bias=False, weight_quant=getattr(quantizers, name), **options))
    x = torch.rand(1, 4, 6, 6)
    model(x)
    model.eval()
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, x, check_trace=False), file)
    file.seek(0)
    other = torch.rand(1, 4, 6, 6)
    assert torch.equal(torch.jit.load(file)(other), model(other))


KINDS = [(qnn.QuantConvTranspose1d, 1), (qnn.QuantConvTranspose2d, 2), (qnn.QuantConvTranspose3d, 3)]


@pytest.mark.parametrize(("kind", "axes"), KINDS)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore:`torch.jit:FutureWarning"
)
def test_transposed_convolutions_can_be_traced(kind: Any, axes: int, groups: int) -> None:
    quantizer = quantizers.Int8ProjectedA2QWeightPerChannelFloat
    layer = kind(4, 4, 3, 2, groups=groups, bias=False, weight_quant=quantizer, weight_accumulator_bit_width=12)
    model = nn.Sequential(qnn.QuantReLU(bit_width=4, return_quant_tensor=True), layer)
    x = torch.rand(1, 4, *(5,) * axes)
    model(x)
    model.eval()
    assert torch.equal(torch.jit.trace(model, x, check_trace=False)(x), model(x))
    assert layer.channelwise_separable is False
