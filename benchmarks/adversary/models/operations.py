"""What people put between a quantizer and a layer, as functions of a tensor, and the step of values behind it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["KEPT", "LOST", "OPERATIONS", "PARTS", "RARE", "plain", "steps"]

Operation = Callable[[Any], Any]


def plain(x: Any) -> Tensor:
    """The tensor inside of a quantized one."""
    return x.value if hasattr(x, "value") else x


def _changed(change: Callable[[Tensor], Any]) -> Operation:
    """A change in place; of a copy where a gradient needs what was there."""

    def operation(x: Any) -> Tensor:
        value = plain(x)
        value = value.clone() if value.requires_grad else value
        change(value)
        return value

    return operation


def _twice(x: Tensor) -> Tensor:
    """Integers of the same step; a product with 2 would be the same integers at another."""
    return x + x


def _half(x: Tensor) -> Tensor:
    """Some channels, as a view; gradients do not go through those of chunk."""
    return x[:, : x.shape[1] // 2] if torch.is_grad_enabled() else x.chunk(2, 1)[0]


def _out(function: Callable[..., Any]) -> Operation:
    return lambda x: function(plain(x).detach(), out=torch.empty_like(plain(x)))


def _assigned(x: Any) -> Tensor:
    """Some channels shifted by a row, as in temporal shift modules."""
    value = plain(x).detach()
    out = torch.zeros_like(value)
    out[:, ::2, 1:] = value[:, ::2, :-1]
    out[:, 1::2] = value[:, 1::2]
    return out


def _cast(dtype: torch.dtype) -> Operation:
    return lambda x: torch.empty(plain(x).shape, dtype=dtype).copy_(plain(x).detach()).to(plain(x).dtype)


def _listed(x: Any) -> Tensor:
    return plain(x) + torch.tensor(plain(x).detach().tolist(), dtype=plain(x).dtype)


def _fold(x: Any) -> Tensor:
    """Every element as often as patches hold it."""
    value = plain(x)
    return F.fold(F.unfold(value, 3, padding=1), value.shape[2:], 3, padding=1)


def _rows_in_a_loop(x: Any) -> Tensor:
    value = plain(x)
    total = value[:, :, :1]
    for row in range(1, value.shape[2]):
        total = total + value[:, :, row : row + 1]
    return total.expand_as(value)


# Where a QuantTensor stays one.
_OF_QUANT_TENSORS: dict[str, Operation] = {
    "nothing": lambda x: x,
    "twice": lambda x: x + x,
    "negative": lambda x: -x,
    "magnitude": lambda x: abs(x),
    "quantized average pool": lambda x: F.avg_pool2d(x, 2, 2, 0, False, True, None),
}
_MOVES: dict[str, Operation] = {
    "plain": plain,
    "flip": lambda x: plain(x).flip(2),
    "transpose": lambda x: plain(x).transpose(2, 3),
    "pad": lambda x: F.pad(plain(x), (1, 0, 0, 1)),
    "reflected pad": lambda x: F.pad(plain(x), (1, 1, 1, 1), mode="reflect"),
    "nearest": lambda x: F.interpolate(plain(x), scale_factor=2.0),
    "shuffled": lambda x: F.pixel_unshuffle(F.pixel_shuffle(plain(x), 2), 2) if plain(x).shape[1] % 4 == 0 else x,
    "stacked": lambda x: torch.stack([plain(x), plain(x)], 1).flatten(1, 2)[:, ::2],
    "dropout": lambda x: F.dropout(plain(x), 0.5, False),
    "max pool": lambda x: F.max_pool2d(plain(x), 2),
    "copied deeply": lambda x: copy.deepcopy(plain(x).detach()),
    "in double": lambda x: plain(x).double().to(plain(x).dtype),
    "gathered": lambda x: plain(x).gather(1, torch.zeros_like(plain(x), dtype=torch.long)),
    "sorted": lambda x: plain(x).sort(1).values,
    "assigned": _assigned,
    "data": lambda x: plain(x).data,
}
_SUMS: dict[str, Operation] = {
    "average pool": lambda x: F.avg_pool2d(plain(x), 2),
    "padded average pool": lambda x: F.avg_pool2d(plain(x), 3, 1, 1),
    "sum pool": lambda x: F.avg_pool2d(plain(x), 2, divisor_override=1),
    "difference": lambda x: plain(x) - plain(x).flip(1),
    "sum over pixels": lambda x: plain(x).sum((2, 3), keepdim=True).expand_as(plain(x)),
    "sum added": lambda x: plain(x) + plain(x).sum(1, keepdim=True),
    "running sum": lambda x: plain(x).cumsum(2),
    "folded patches": _fold,
    "rows in a loop": _rows_in_a_loop,
    "halved": lambda x: plain(x) * 0.5,
    "plain negative": lambda x: -plain(x),
    "relu": lambda x: F.relu(plain(x)),
    "maximum": lambda x: torch.maximum(plain(x), plain(x).roll(1, 1)),
    "joined with negative": lambda x: torch.cat([plain(x)[:, ::2], -plain(x)[:, 1::2]], 1),
    "where": lambda x: torch.where(plain(x) > 0, plain(x) + plain(x), plain(x)),
    "where of itself": lambda x: (plain(x) > 0) * plain(x),
    "attention": lambda x: torch.einsum("bchw,bcwk->bchk", plain(x), plain(x).transpose(2, 3)),
    "matrix of ones": lambda x: plain(x) @ torch.ones(plain(x).shape[3], plain(x).shape[3]).to(plain(x).dtype),
    "linear of ones": lambda x: F.linear(plain(x), torch.ones(plain(x).shape[3], plain(x).shape[3]).to(plain(x).dtype)),
}
_IN_PLACE: dict[str, Operation] = {
    "doubled in place": _changed(lambda v: _half(v).mul_(2)),
    "added in place": _changed(lambda v: _half(v).add_(_half(v).detach().clone())),
    "relu in place": _changed(lambda v: v[:, :, 1:].relu_()),
    "zeros in place": _changed(lambda v: v.select(2, 0).zero_()),
    "set in place": _changed(lambda v: v.__setitem__((slice(None), 0), 0.0)),
    "masked in place": _changed(lambda v: v.masked_fill_(v > 0, 0.0)),
    "negative in place": _changed(lambda v: v[:, 1:].neg_()),
    "clamped in place": _changed(lambda v: v.clamp_(min=0)),
    "data added": _changed(lambda v: v.data.add_(v.detach().clone())),
    "copied in place": _changed(lambda v: v[:, :1].copy_(_twice(v[:, 1:2].detach()))),
    "transposed in place": lambda x: plain(x).clone().transpose_(2, 3),
    "for each": _changed(lambda v: torch._foreach_add_([v.detach()], [v.detach().clone()])),
    "added out": lambda x: torch.add(*(plain(x).detach(),) * 2, out=torch.empty_like(plain(x))),
    "negative out": _out(torch.neg),
    "magnitude out": _out(torch.abs),
    "joined out": lambda x: torch.cat(
        [plain(x).detach()[:, :2], _twice(plain(x).detach()[:, 2:])], 1, out=torch.empty(0)
    ),
    "written out": _changed(lambda v: torch.add(v.detach(), v.detach().clone(), out=v.detach())),
}
_READS: dict[str, Operation] = {
    "item": lambda x: plain(x) + plain(x) if plain(x).sum().item() > 0 else plain(x),
    "int": lambda x: plain(x) * (1 + int(plain(x).max() > 0)),
    "tolist": _listed,
    "numpy": lambda x: torch.from_numpy(plain(x).detach().float().numpy().copy()).to(plain(x).dtype) + plain(x),
    "list of tensors": lambda x: plain(x) + torch.as_tensor([_twice(v) for v in plain(x).detach().flatten()[:8]])[3],
    "by a capsule": lambda x: torch.from_dlpack(torch.utils.dlpack.to_dlpack(plain(x).detach())) + plain(x),
}
_NO_INTEGERS: dict[str, Operation] = {
    "geometric": lambda x: plain(x) * torch.empty(1).geometric_(0.3) + plain(x),
    "binomial": lambda x: plain(x) * torch.binomial(torch.full((1,), 9.0), torch.full((1,), 0.5)) + plain(x),
    "unwritten": lambda x: plain(x) * torch.empty_like(plain(x)).uniform_().round() + plain(x),
    "sigmoid": lambda x: torch.sigmoid(plain(x)),
    "leaky": lambda x: F.leaky_relu(plain(x), 0.1),
    "shifted": lambda x: plain(x) + 0.3,
    "decimals": lambda x: torch.round(plain(x), decimals=1),
    "as bytes": _cast(torch.uint8),
    "as integers": _cast(torch.int64),
    "elu": lambda x: F.elu(plain(x), 3.0),
    "remainder": lambda x: torch.remainder(plain(x), 0.7),
}
OPERATIONS = {**_OF_QUANT_TENSORS, **_MOVES, **_SUMS, **_IN_PLACE, **_READS, **_NO_INTEGERS}

# What the step of values becomes; None where they are no multiples of one any more. It stays where nothing is said.
STEPS: dict[str, float | None] = {
    "average pool": 1 / 4,
    "padded average pool": 1 / 9,
    "quantized average pool": 1 / 4,
    "halved": 0.5,
    **dict.fromkeys(_NO_INTEGERS),
}
KEPT = tuple(_OF_QUANT_TENSORS)
LOST = tuple(_NO_INTEGERS)
RARE = tuple(_READS)  # what makes a model depend on its data


class _Remembering(nn.Module):
    """Adds what it was given the last time."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.before = torch.zeros(())
        self.register_buffer("buffer", torch.zeros(1))
        self.number = 1

    def forward(self, x: Any) -> Tensor:
        x = plain(x)
        if self.how == "as a number":
            y, self.number = x + self.number * float(x.detach().max()), 1 + int(x.detach().max() > 0)
        elif self.how == "by counting":
            self.number += self.number < 3
            y = sum([x] * self.number)
        elif self.how == "in a buffer":
            y = x + self.buffer.expand_as(x)
            if self.buffer.dim() < 4:
                self.buffer = torch.zeros_like(x[:1])
            else:
                self.buffer.copy_(x.detach()[:1])
        else:
            before, self.before = self.before, x.detach()[:1]
            y = x + before if before.shape[1:] == x.shape[1:] else x + x
        return y


PARTS: dict[str, Callable[[], nn.Module]] = {
    f"remembered {how}": (lambda how=how: _Remembering(how))  # type: ignore[misc]
    for how in ("as a tensor", "in a buffer", "as a number", "by counting")
}


def steps(names: list[str], step: float) -> float | None:
    """The step of values behind operations."""
    for name in names:
        factor = STEPS.get(name, 1.0)
        if factor is None:
            return None
        step = step**2 if name == "attention" else step * factor
    return step
