"""The certificate of one layer: for every channel the exact worst case of its accumulator, against its target width.

It follows the exact range of :func:`brevitas_a2q.bounds.exact_range`, generalised to one input range per product.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import overload

import numpy as np

from brevitas_a2q._ir.dot_product import DotProductLayer, IntArray
from brevitas_a2q.bounds import data_type_bound, weight_bound
from brevitas_a2q.errors import CertificateError
from brevitas_a2q.verify._sums import End, SumRange, fits_int64, layer_sum, tile_sums, tiled, witness

__all__ = ["ChannelCertificate", "InputRange", "LayerCertificate", "Layers", "certify_layer", "largest_norm"]


@dataclass(frozen=True)
class InputRange:
    """What a layer's products were taken to multiply, and what that was taken from."""

    lower: int  # lowest over all products, code less zero-point
    upper: int  # highest over all products
    bit_width: int  # N of the data type
    signed: bool
    source: str  # "data type", or what narrowed it
    sha256: str | None = None  # of the ranges of single products, where they differ

    @classmethod
    def of(cls, layer: DotProductLayer) -> InputRange:
        """The range that a layer's certificate relies on."""
        uniform = layer.x_lo.size == 1 and layer.x_hi.size == 1
        shape = layer.weights.shape
        ends = (np.broadcast_to(ends, shape) for ends in (layer.x_lo, layer.x_hi))
        return cls(
            lower=int(layer.x_lo.min()),
            upper=int(layer.x_hi.max()),
            bit_width=layer.input_bit_width,
            signed=layer.input_signed,
            source=layer.range_source,
            sha256=None if uniform else sha256(*ends),
        )


@dataclass(frozen=True)
class ChannelCertificate:
    """One output channel: exact range, width, and margin in bits (None without a target)."""

    channel: int
    lower: int
    upper: int
    required_bit_width: int
    accumulator_bit_width: int | None
    margin_bits: int | None


@dataclass(frozen=True)
class LayerCertificate:
    """One layer. ``sums`` is the accumulator with the target width: of each tile where the layer is tiled.

    A layer without a target is listed with what it requires and does not make a certificate false.
    """

    name: str
    op: str
    inputs: int  # K, products per output
    order: str  # of the products, which tiles, witnesses and the hash of weights follow
    tile: int | None
    sums: SumRange = field(repr=False)
    outer: SumRange | None  # the sum of tiles and bias; its target is None where it may be as wide as required
    data_type_bit_width: int  # suffices for any weights and inputs of these types, as published
    weights_bit_width: int  # suffices for these weights and any input of the type, as published
    input_range: InputRange
    weight_bit_width: int
    weights_sha256: str
    bias_sha256: str | None
    worst_witness: dict[End, tuple[int, ...]] = field(repr=False)  # reaches the worst channel's ends; see witness()
    zero_point: str | None = None  # the datapath that all this is of, where inputs have a zero-point
    guards: tuple[str, ...] = ()  # the datapaths whose sums fit the target
    notes: tuple[str, ...] = ()
    layer: DotProductLayer | None = field(default=None, repr=False, compare=False)

    @property
    def accumulator_bit_width(self) -> int | None:
        """Target P in bits, or None."""
        return self.sums.accumulator_bit_width

    @property
    def required_bit_width(self) -> int:
        """Smallest width that holds every channel, in bits."""
        return self.sums.required_bit_width

    @property
    def lower(self) -> int:
        """Exact lowest value of the worst channel."""
        return self.sums.lower[self.sums.worst_channel]

    @property
    def upper(self) -> int:
        """Exact highest value of the worst channel."""
        return self.sums.upper[self.sums.worst_channel]

    @property
    def margin_bits(self) -> int | None:
        """Target less required width in bits; None without a target."""
        return self.sums.margin_bits

    @property
    def holds(self) -> bool:
        """Whether no channel can overflow its target, nor the sum of tiles its own."""
        return self.sums.holds and (self.outer is None or self.outer.holds)

    @property
    def channels(self) -> tuple[ChannelCertificate, ...]:
        """Every output channel (of a transposed convolution: every channel and phase of the stride)."""
        target = self.accumulator_bit_width
        rows = zip(self.sums.lower, self.sums.upper, self.sums.required_bit_widths, strict=True)
        return tuple(
            ChannelCertificate(index, low, high, width, target, None if target is None else target - width)
            for index, (low, high, width) in enumerate(rows)
        )

    def witness(self, channel: int | None = None, end: End = "upper") -> IntArray:
        """The input (code less zero-point) that drives a channel's whole sum to its end.

        Args:
            channel: Output channel; the worst one if not given.
            end: ``"lower"`` or ``"upper"``.

        Returns:
            shape (K,), in the order of the layer's products; tiles are driven to their own ends all at once.

        Raises:
            CertificateError: A certificate read from a file holds the worst channel's witnesses only.
        """
        worst = self.sums.worst_channel
        if channel is None or channel == worst:
            return np.array(self.worst_witness[end], np.int64)
        if self.layer is None:
            raise CertificateError(
                f"found no witness of channel {channel}",
                where=f"layer {self.name}",
                expected=f"the worst channel, {worst}",
                remedy="certify the model or file again to have the witness of every channel",
            )
        return witness(self.layer, channel, end)


class Layers(tuple[LayerCertificate, ...]):
    """Layers in the network's order, by index or by name."""

    @overload  # type: ignore[override]
    def __getitem__(self, key: int | str) -> LayerCertificate: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[LayerCertificate, ...]: ...
    def __getitem__(self, key: int | str | slice) -> LayerCertificate | tuple[LayerCertificate, ...]:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for layer in self:
            if layer.name == key:
                return layer
        raise KeyError(f"no layer {key!r}; layers are {', '.join(layer.name for layer in self)}")


def sha256(*arrays: IntArray) -> str:
    """SHA-256 of integer arrays in one canonical form.

    For each array ``"rows columns\\n"`` in ASCII, then its values row by row as 64-bit little-endian two's complement.
    """
    digest = hashlib.sha256()
    for array in arrays:
        rows = array.reshape(1, -1) if array.ndim < 2 else array
        digest.update(f"{rows.shape[0]} {rows.shape[1]}\n".encode("ascii"))
        digest.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
    return digest.hexdigest()


def certify_layer(given: DotProductLayer) -> LayerCertificate:
    """The exact worst case of every channel of one layer."""
    layer = given.of_codes() if given.zero_point == "raw" else given
    tile = layer.tile if layer.tile is not None and layer.tile < layer.dot_product_size else None
    whole = layer_sum(layer, layer.outer_accumulator_bit_width if tile else layer.accumulator_bit_width)
    sums = tile_sums(layer) if tile else whole
    ends: tuple[End, End] = ("lower", "upper")
    return LayerCertificate(
        name=layer.name,
        op=layer.op,
        inputs=layer.dot_product_size,
        order=layer.order,
        tile=tile,
        sums=sums,
        outer=whole if tile else None,
        data_type_bit_width=data_type_bound(
            tile or layer.dot_product_size, layer.input_bit_width, layer.weight_bit_width, layer.input_signed
        ),
        weights_bit_width=weight_bound(largest_norm(layer, tile), layer.input_bit_width, layer.input_signed),
        input_range=InputRange.of(layer),
        weight_bit_width=layer.weight_bit_width,
        weights_sha256=sha256(layer.weights),
        bias_sha256=None if layer.bias is None else sha256(layer.bias),
        worst_witness={end: _integers(witness(layer, sums.worst_channel, end)) for end in ends},
        zero_point=None if layer.raw is None else layer.zero_point,
        guards=_guarded(given),
        notes=(*layer.notes, *_datapaths(given)),
        layer=layer,
    )


def _sums_of_datapath(layer: DotProductLayer, zero_point: str) -> SumRange:
    """The sums that its target is for, where codes are multiplied in this way."""
    seen = layer.of_codes() if zero_point == "raw" else layer
    tiled = layer.tile is not None and layer.tile < layer.dot_product_size
    return tile_sums(seen) if tiled else layer_sum(seen, layer.accumulator_bit_width)


def _guarded(layer: DotProductLayer) -> tuple[str, ...]:
    """Which ways of dealing with a zero-point keep its target."""
    if layer.raw is None or layer.accumulator_bit_width is None:
        return ()
    return tuple(way for way in ("subtracted", "raw") if _sums_of_datapath(layer, way).holds)


def _datapaths(layer: DotProductLayer) -> tuple[str, ...]:
    """How far sums reach in the datapath that the certificate is not of."""
    if layer.raw is None:
        return ()
    other = "subtracted" if layer.zero_point == "raw" else "raw"
    sums = _sums_of_datapath(layer, other)
    ends = f"[{min(sums.lower)}, {max(sums.upper)}]"
    what = {"raw": "sums of raw codes", "subtracted": "sums of codes less their zero-point"}[other]
    return (f"zero-point {layer.zero_point}: {what} reach {ends}",)


def largest_norm(layer: DotProductLayer, tile: int | None) -> int:
    """Largest sum of magnitudes of the weights that one accumulator sees."""
    exact = layer.weights if fits_int64(layer) else layer.weights.astype(object)
    return int(tiled(np.abs(exact), tile).sum(axis=-1).max())


def _integers(values: IntArray) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
