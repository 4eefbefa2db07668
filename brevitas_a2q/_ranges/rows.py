"""Weights of a layer as one row of products per output: the form that certificates and simulation compute on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from brevitas_a2q._ranges.annotation import Array

__all__ = ["conv_rows", "conv_transpose_rows", "rows_under", "transpose_phases"]


def conv_rows(weights: Array) -> Array:
    """Rows of a convolution or a linear layer: each output channel multiplies its own group's inputs only.

    Args:
        weights: shape (out_channels, in_channels / groups, *kernel).

    Returns:
        shape (out_channels, in_channels / groups * prod(kernel)), the input channel varying slowest.

    Example:
        >>> conv_rows(np.zeros((4, 1, 3, 3), np.int64)).shape
        (4, 9)
    """
    return np.ascontiguousarray(weights.reshape(weights.shape[0], -1))


def transpose_phases(
    kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[tuple[int, ...], ...]]:
    """Which kernel taps meet in one output of a transposed convolution: one set of taps per phase of the stride.

    Output ``o`` receives input ``i`` through tap ``k`` where ``o = i * stride + k * dilation - pad``, so the taps of
    one output have the same remainder of ``k * dilation`` by the stride, in each dimension.

    Returns:
        For every phase that has taps, its taps as index tuples.

    Example:
        >>> [len(taps) for taps in transpose_phases((3,), (2,), (1,))]
        [2, 1]
    """
    per_dimension = []
    for size, stride, dilation in zip(kernel, strides, dilations, strict=True):
        phases = [[k for k in range(size) if (k * dilation) % stride == phase] for phase in range(stride)]
        per_dimension.append([taps for taps in phases if taps])
    return [tuple(itertools.product(*taps)) for taps in itertools.product(*per_dimension)]


def conv_transpose_rows(
    weights: Array, groups: int = 1, strides: Sequence[int] | None = None, dilations: Sequence[int] | None = None
) -> Array:
    """Rows of a transposed convolution: one per output channel and phase, with the taps that one output really sums.

    Args:
        weights: shape (in_channels, out_channels / groups, *kernel).
        groups: Number of groups.
        strides: One per kernel dimension; 1 if not given.
        dilations: One per kernel dimension; 1 if not given.

    Returns:
        shape (out_channels * phases, K), phases varying fastest; K is the largest phase's number of products, and
        smaller phases end in zeros, which no sum notices.

    Example:
        >>> conv_transpose_rows(np.ones((2, 3, 3), np.int64), strides=(2,)).tolist()[:2]
        [[1, 1, 1, 1], [1, 1, 0, 0]]
    """
    in_channels, out_per_group, *kernel = weights.shape
    strides, dilations = strides or [1] * len(kernel), dilations or [1] * len(kernel)
    phases = transpose_phases(kernel, strides, dilations)
    width = in_channels // groups * max(len(taps) for taps in phases)
    rows = np.zeros((groups, out_per_group, len(phases), width), weights.dtype)
    grouped = weights.reshape(groups, in_channels // groups, out_per_group, -1)
    for index, taps in enumerate(phases):
        flat = np.ravel_multi_index(tuple(np.array(taps).T), tuple(kernel))
        picked = grouped[..., flat].transpose(0, 2, 1, 3).reshape(groups, out_per_group, -1)
        rows[:, :, index, : picked.shape[-1]] = picked
    return rows.reshape(-1, width)


def rows_under(rows: Array, masks: Sequence[Array]) -> Array:
    """Rows of a convolution whose outputs do not all meet the same taps: one for each mask, the last varying fastest.

    Args:
        rows: Or an annotation of them.  # shape: (channels, inputs * taps)
        masks: Taps that one position meets; see :func:`brevitas_a2q._ranges.windows.covered_taps`.

    Returns:
        Zero where a tap lies in the padding.  # shape: (channels * masks, inputs * taps)

    Example:
        >>> rows_under(np.array([[1, 2]]), [np.array([True, False]), np.array([False, True])]).tolist()
        [[1, 0], [0, 2]]
    """
    inputs = rows.shape[1] // masks[0].size
    keep = np.stack([np.tile(mask.reshape(-1), inputs) for mask in masks])
    spread = rows[:, None, :] * keep[None]
    return np.ascontiguousarray(spread.reshape(-1, rows.shape[1]))
