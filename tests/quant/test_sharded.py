"""Parameters that are sharded over processes, and gathered only while a layer runs (FSDP2)."""

from __future__ import annotations

from collections.abc import Iterator

import brevitas.nn as qnn
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard

from brevitas_a2q.quant import _quantizers as quantizers
from brevitas_a2q.quant._layers import learn_input_ranges


@pytest.fixture
def one_process() -> Iterator[None]:
    """A group of this process alone: what FSDP does to parameters is the same, and nothing has to be started."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("learned_before", [False, True], ids=["", "ranges learned before"])
@pytest.mark.parametrize("method", ["ProjectedA2Q", "A2Q", "A2QPlus"])
def test_sharded_layers_train_and_keep_their_accumulators(one_process: None, method: str, learned_before: bool) -> None:
    torch.manual_seed(0)
    layer = qnn.QuantConv2d(
        4,
        8,
        3,
        bias=False,
        weight_quant=getattr(quantizers, f"Int8{method}WeightPerChannelFloat"),
        weight_accumulator_bit_width=10,
    )
    model = nn.Sequential(qnn.QuantReLU(bit_width=4, return_quant_tensor=True), layer)
    if learned_before:
        learn_input_ranges(model, torch.rand(2, 4, 6, 6))
    fully_shard(layer)  # the scale of an activation has no axis, which FSDP2 does not shard

    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.rand(2, 4, 6, 6)).square().mean().backward()
        optimizer.step()
    made = []
    layer.weight_quant.register_forward_hook(lambda _, __, weight: made.append(weight))
    with torch.no_grad():
        model.eval()(torch.rand(2, 4, 6, 6))
    codes = (made[-1].value.double() / made[-1].scale.double()).round().long().flatten(1)
    assert codes.any()
    assert int(15 * codes.clamp_min(0).sum(1).max()) < 2**9
    assert int(15 * codes.clamp_max(0).sum(1).min()) >= -(2**9)
