"""What a layer's data say about its error: second moments of quantized inputs, and what they share with the output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Moments", "relative_error"]

_CHUNK = 4096  # rows summed in float32 before they are added in float64
_DAMPING = 1e-3

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Centred moments of ``n`` rows, for each of ``G`` groups with ``R`` outputs of ``K`` products.

    Attributes:
        inputs: ``H = E[x^ x^']``.  # shape: (G, K, K)
        common: ``c = E[x^ y]``.  # shape: (G, R, K)
        cross: ``E[x^_i x_i]``.  # shape: (G, K)
        power: ``E[y^2]``.  # shape: (G, R)
        input_mean: Of ``x^``.  # shape: (G, K)
        output_mean: Of ``y``.  # shape: (G, R)
    """

    inputs: Array
    common: Array
    cross: Array
    power: Array
    input_mean: Array
    output_mean: Array

    @classmethod
    def of(cls, target: Tensor, quantized: Tensor, weights: Tensor) -> Moments:
        """Moments of rows.

        Args:
            target: Inputs in the float network.  # shape: (n, G, K)
            quantized: The same in the quantized one.  # shape: (n, G, K)
            weights: Of the float network.  # shape: (G, R, K)
        """
        n, groups, size = quantized.shape
        target_mean, input_mean = target.mean(0, dtype=torch.float64), quantized.mean(0, dtype=torch.float64)
        inputs = torch.zeros(groups, size, size, dtype=torch.float64)
        common = torch.zeros(groups, weights.shape[1], size, dtype=torch.float64)
        cross, power = (
            torch.zeros(groups, size, dtype=torch.float64),
            torch.zeros(weights.shape[:2], dtype=torch.float64),
        )
        for x, x_hat in zip(target.split(_CHUNK), quantized.split(_CHUNK), strict=True):
            x = (x - target_mean.to(x.dtype)).transpose(0, 1)
            x_hat = (x_hat - input_mean.to(x_hat.dtype)).transpose(0, 1)
            y = x @ weights.to(x.dtype).mT  # (G, n, R)
            inputs += (x_hat.mT @ x_hat).double()
            common += (y.mT @ x_hat).double()
            cross += (x * x_hat).sum(1, dtype=torch.float64)
            power += y.square().sum(1, dtype=torch.float64)
        output_mean = (weights.double() @ target_mean[..., None]).squeeze(-1)
        for total in (inputs, common, cross, power):
            total.div_(n)
        means = input_mean.numpy(), output_mean.numpy()
        return cls(inputs.numpy(), common.numpy(), cross.numpy(), power.numpy(), *means)

    @classmethod
    def means_of(cls, target: Tensor, quantized: Tensor, weights: Tensor) -> Moments:
        """The means alone, for rows too long for the rest; arguments as of :meth:`of`."""
        of_input = quantized.mean(0, dtype=torch.float64).numpy()
        of_output = (weights.double() @ target.mean(0, dtype=torch.float64)[..., None]).squeeze(-1).numpy()
        none, empty = np.zeros((0, 0, 0)), np.zeros((0, 0))
        return cls(none, none, empty, empty, of_input, of_output)

    def shrunk(self, share: float, weights: Array) -> tuple[Array, Array]:
        """``H`` and ``c`` with this share of the covariance between inputs taken out, and a little damping.

        Args:
            share: ``rho``.
            weights: Of the float network.  # shape: (G, R, K)
        """
        size = self.inputs.shape[-1]
        diagonal = np.einsum("gkk->gk", self.inputs)
        damping = _DAMPING * diagonal.mean(1) + 1e-12
        inputs = (1 - share) * self.inputs
        index = np.arange(size)
        inputs[:, index, index] = diagonal + damping[:, None]
        own = share * self.cross + damping[:, None]
        return inputs, np.ascontiguousarray((1 - share) * self.common + own[:, None] * weights)


def relative_error(moments: Moments, target: Tensor, quantized: Tensor, weights: Tensor, found: Tensor) -> Array:
    """Squared error of each output on these rows, by the means of other ones, and the power of what it should be.

    Args:
        moments: For the means.
        target: # shape: (n, G, K)
        quantized: # shape: (n, G, K)
        weights: Float weights.  # shape: (G, R, K)
        found: Quantized weights.  # shape: (G, R, K)

    Returns:
        # shape: (2, G, R)
    """
    totals = torch.zeros(2, *weights.shape[:2], dtype=torch.float64)
    of_target, of_input = torch.from_numpy(moments.output_mean), torch.from_numpy(moments.input_mean)
    for x, x_hat in zip(target.split(_CHUNK), quantized.split(_CHUNK), strict=True):
        y = (x.transpose(0, 1) @ weights.to(x.dtype).mT) - of_target[:, None].to(x.dtype)
        y_hat = (x_hat - of_input.to(x_hat.dtype)).transpose(0, 1) @ found.to(x.dtype).mT
        totals[0] += (y - y_hat).square().sum(1, dtype=torch.float64)
        totals[1] += y.square().sum(1, dtype=torch.float64)
    return totals.numpy()
