"""Weight and accumulator minimisation as FINN does it, its mistakes included.

FINN narrows weights first, then accumulators, after folding and after the choice between HLS and RTL:

- weights: the smallest type of the tensor's most extreme value, where a negative tensor is held against
  ``-max - 1``. Hence weights {-1, 0} become BIPOLAR, which has no zero, and {-1, 1} become INT2;
- accumulators: exact range over the channels of the frozen weights; a type of no bits (UINT0) for an all-zero layer,
  which FINN cannot round up to whole bytes if it is the last one. Where weights stay writeable, main looks at the
  largest weight only for the upper end, too low for signed weights times signed inputs; dev looks at both;
- thresholds: main covers inputs and thresholds; dev thresholds only, in HLS at least the input's width, in RTL also
  one below the lowest.

Source: FINN ``minimize_weight_bit_width`` and ``minimize_accumulator_width`` of
``custom_op/fpgadataflow/matrixvectoractivation.py``, ``vectorvectoractivation.py``, ``thresholding.py`` and their
``hls`` and ``rtl`` classes; qonnx ``calculate_matvec_accumulator_range``. FINN sums in binary64, which equals these
integers below 2^53.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.data_types import DataType, data_type, smallest_possible, whole_bytes
from brevitas_a2q.hw._finn.unit import Version

__all__ = [
    "MinimizedAccumulator",
    "minimize_accumulator",
    "minimize_thresholds",
    "minimize_weights",
    "with_accumulator",
]


def _span_type(lo: int, hi: int, *, signed: bool = False) -> DataType:
    """FINN's type for a tensor from ``lo`` to ``hi``."""
    if lo < 0 and -lo > hi:
        return smallest_possible(lo)
    return smallest_possible(-hi - 1 if lo < 0 or signed else hi)


def _keeps_weights(node: Attributes, version: Version) -> bool:
    """Whether the weights may change later, so that only their type counts."""
    outside = node.values.get("mem_mode") == "external" or node.flag("mlo_max_iter")
    return node.flag("runtime_writeable_weights") or (version == "dev" and outside)


def minimize_weights(
    op_type: str,
    attributes: Mapping[str, Any],
    weights: IntArray,
    thresholds: IntArray | None = None,
    version: Version = "main",
) -> dict[str, Any]:
    """Narrow the weight type of an MVAU or VVAU to its values.

    Args:
        op_type: FINN's name of the node's kind.
        attributes: FINN's node attributes.
        weights: Integer weights, any shape.
        thresholds: Thresholds inside the unit, which dev types here too.
        version: FINN branch.

    Returns:
        The attributes with ``weightDataType`` set.

    Raises:
        ConfigError: Where dev itself fails: thresholds that the accumulator's type in force does not hold, or negative
            ones of a bipolar layer.

    Example:
        >>> minimize_weights("MVAU_hls", {"weightDataType": "INT4"}, np.array([[-1, 0]]))["weightDataType"]
        'BIPOLAR'
    """
    node = Attributes(op_type, attributes)
    done = dict(attributes)
    if not _keeps_weights(node, version):
        done["weightDataType"] = _span_type(int(weights.min()), int(weights.max())).name
    if thresholds is not None and version == "dev" and op_type.endswith("_hls"):
        _check_bipolar(Attributes(op_type, done), thresholds)
        _check_held(node, thresholds)
    return done


def _check_held(node: Attributes, thresholds: IntArray) -> None:
    """dev gives thresholds in an HLS unit the accumulator's type, or their own if that is no narrower."""
    accumulator = node.data_type("accDataType", "INT32")
    lo, hi = int(thresholds.min()), int(thresholds.max())
    kind = _span_type(lo, hi, signed=accumulator.signed)
    kind = accumulator if kind.bits < accumulator.bits else kind
    if not kind.lo <= lo <= hi <= kind.hi:
        raise ConfigError(f"found thresholds from {lo} to {hi}", where=node.op_type, expected=f"a range of {kind.name}")


def _range(weights: IntArray, inputs: DataType) -> tuple[int, int]:
    """Lowest and highest sum of any channel, weights of shape (channels, products)."""
    plus = np.maximum(weights, 0).sum(axis=1)
    minus = np.minimum(weights, 0).sum(axis=1)
    return int((plus * inputs.lo + minus * inputs.hi).min()), int((plus * inputs.hi + minus * inputs.lo).max())


def _worst_range(products: int, weights: DataType, inputs: DataType, version: Version) -> tuple[int, int]:
    """The range whatever the weights, as each branch computes it from the ends of their type."""
    lowest, highest = (_range(np.full((1, products), end, dtype=np.int64), inputs) for end in (weights.lo, weights.hi))
    top = highest[1] if version == "main" else max(lowest[1], highest[1])
    return min(lowest[0], highest[0]), top


@dataclass(frozen=True, eq=False)
class MinimizedAccumulator:
    """Attributes after accumulator minimisation, and the thresholds, which main clips into the range."""

    attributes: dict[str, Any]
    thresholds: IntArray | None


def _accumulator_type(lo: int, hi: int) -> DataType:
    if lo >= 0:
        return data_type(f"UINT{hi.bit_length()}")
    return data_type(f"INT{max(-lo - 1, hi).bit_length() + 1}")


def _last(kind: DataType, op_type: str) -> DataType:
    """The last node's output in whole bytes."""
    if kind.bits == 0:
        raise ConfigError(
            "found an all-zero layer at the end of the network",
            where=op_type,
            expected="an accumulator of at least one bit, for FINN cannot round none up to whole bytes",
        )
    return whole_bytes(kind)


def minimize_accumulator(
    op_type: str,
    attributes: Mapping[str, Any],
    weights: IntArray,
    thresholds: IntArray | None = None,
    *,
    is_last: bool = False,
    version: Version = "main",
) -> MinimizedAccumulator:
    """Narrow the accumulator of an MVAU or VVAU to the range its weights can reach.

    Args:
        op_type: FINN's name of the node's kind.
        attributes: FINN's node attributes, after :func:`minimize_weights`.
        weights: Integer weights, shape (output channels, products per output).
        thresholds: Thresholds inside the unit, shape (channels or 1, steps).
        is_last: Whether nothing reads the node's output.
        version: FINN branch.

    Returns:
        The attributes with ``accDataType`` and, without thresholds, ``outputDataType`` set, and the thresholds.

    Raises:
        ConfigError: Where FINN itself fails: an all-zero last layer, or negative thresholds of a bipolar one.

    Example:
        >>> attrs = {"inputDataType": "UINT8", "weightDataType": "INT3", "noActivation": 1}
        >>> minimize_accumulator("MVAU_hls", attrs, np.array([[-1, 1, -3]])).attributes["accDataType"]
        'INT11'
    """
    node = Attributes(op_type, attributes)
    inputs = node.data_type("inputDataType")
    if node.flag("binaryXnorMode"):
        weights = 2 * weights - 1
    if _keeps_weights(node, version):
        lo, hi = _worst_range(weights.shape[1], node.data_type("weightDataType"), inputs, version)
    else:
        lo, hi = _range(weights, inputs)
    if thresholds is not None and version == "main":
        _check_bipolar(node, thresholds)
        thresholds = np.clip(thresholds, lo, hi)
    return MinimizedAccumulator(with_accumulator(op_type, attributes, _accumulator_type(lo, hi), is_last), thresholds)


def with_accumulator(
    op_type: str, attributes: Mapping[str, Any], accumulator: DataType, is_last: bool
) -> dict[str, Any]:
    """The attributes with this accumulator, which is the output where there are no thresholds.

    Args:
        op_type: FINN's name of the node's kind.
        attributes: FINN's node attributes.
        accumulator: The accumulator's type.
        is_last: Whether nothing reads the node's output: a bare sum is then rounded up to whole bytes.
    """
    if not Attributes(op_type, attributes).flag("noActivation"):
        return {**attributes, "accDataType": accumulator.name}
    name = (_last(accumulator, op_type) if is_last else accumulator).name
    return {**attributes, "accDataType": name, "outputDataType": name}


def _check_bipolar(node: Attributes, thresholds: IntArray) -> None:
    bipolar = ("BIPOLAR", "BINARY") if node.flag("binaryXnorMode") else ("BIPOLAR",)
    names = [node.data_type(name).name for name in ("inputDataType", "weightDataType")]
    if all(name in bipolar for name in names) and (thresholds < 0).any():
        raise ConfigError("found negative thresholds of a bipolar layer", where=node.op_type, expected="none below 0")


def minimize_thresholds(
    op_type: str, attributes: Mapping[str, Any], thresholds: IntArray, version: Version = "main"
) -> dict[str, Any]:
    """Narrow the threshold type of a Thresholding node.

    Args:
        op_type: ``Thresholding_hls`` or ``Thresholding_rtl``.
        attributes: FINN's node attributes.
        thresholds: Integer thresholds, shape (channels or 1, steps).
        version: FINN branch.

    Returns:
        The attributes with ``weightDataType`` set.

    Raises:
        ConfigError: Where FINN itself fails: negative thresholds of an unsigned input, or thresholds {-1, 0}, whose
            type BIPOLAR has no zero.

    Example:
        >>> attrs = {"inputDataType": "INT16", "weightDataType": "INT32"}
        >>> minimize_thresholds("Thresholding_rtl", attrs, np.array([[36], [77]]))["weightDataType"]
        'INT16'
    """
    node = Attributes(op_type, attributes)
    if version == "dev" and (node.flag("runtime_writeable_weights") or node.flag("mlo_max_iter")):
        return dict(attributes)
    inputs = node.data_type("inputDataType")
    lo, hi = int(thresholds.min()), int(thresholds.max())
    if lo < 0 and not inputs.signed:
        raise ConfigError(f"found thresholds from {lo} of {inputs.name} inputs", where=op_type, expected="none below 0")
    if version == "main":
        kind = _span_type(min(lo, inputs.lo), max(hi, inputs.hi))
    else:
        kind = data_type("INT2") if lo == hi == 0 and inputs.signed else _span_type(lo, hi, signed=inputs.signed)
    if kind.name == "BIPOLAR" and (thresholds == 0).any():
        raise ConfigError("found thresholds -1 and 0", where=op_type, expected="ones that FINN's choice BIPOLAR holds")
    kind = kind if version == "main" else _widened_on_dev(op_type, kind, lo, hi, inputs)
    return {**attributes, "weightDataType": kind.name}


def _widened_on_dev(op_type: str, kind: DataType, lo: int, hi: int, inputs: DataType) -> DataType:
    if kind.bits >= inputs.bits:
        return kind
    if op_type.endswith("_hls"):
        return inputs
    # The RTL saturates inputs to the threshold type, so that one below the lowest threshold must exist too.
    below = _span_type(lo - 1, hi, signed=inputs.signed)
    return below if below.bits > kind.bits else kind
