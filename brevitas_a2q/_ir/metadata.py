"""Names under which a QONNX file carries what QONNX itself has no field for.

Node properties (``NodeProto.metadata_props``) of a layer's Conv, ConvTranspose, MatMul or Gemm:

- ``a2q.accumulator_bit_width``: P, the width its accumulator was trained for.
- ``a2q.accumulator_tile``: products per tile where P is the width of each tile's sum.
- ``a2q.outer_accumulator_bit_width``: width of the sum of the tiles.
- ``a2q.required_bit_width``: smallest width that holds every sum, as certified.
- ``a2q.accumulator_lower``, ``a2q.accumulator_upper``: exact range of the whole sum over all channels and inputs.
- ``a2q.zero_point``: which datapath P is for where inputs have a zero-point, ``subtracted`` or ``raw``.
- ``a2q.weights_sha256``: hash of the integer weights, as in the certificate.

Model properties (``ModelProto.metadata_props``):

- ``a2q.input_range``: ``"lo,hi"``, the declared range of the network's real-valued input.
- ``a2q.certificate_sha256``: SHA-256 of the file's certificate as JSON with sorted keys and no spaces.

Where a layer has no such property, ``INT<P>`` as QONNX's tensor data type of its output counts as its width.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACCUMULATOR_BIT_WIDTH",
    "ACCUMULATOR_LOWER",
    "ACCUMULATOR_TILE",
    "ACCUMULATOR_UPPER",
    "CERTIFICATE_SHA256",
    "INPUT_RANGE",
    "OUTER_ACCUMULATOR_BIT_WIDTH",
    "REQUIRED_BIT_WIDTH",
    "WEIGHTS_SHA256",
    "ZERO_POINT",
]

ACCUMULATOR_BIT_WIDTH: Final = "a2q.accumulator_bit_width"
ACCUMULATOR_TILE: Final = "a2q.accumulator_tile"
OUTER_ACCUMULATOR_BIT_WIDTH: Final = "a2q.outer_accumulator_bit_width"
INPUT_RANGE: Final = "a2q.input_range"
REQUIRED_BIT_WIDTH: Final = "a2q.required_bit_width"
ACCUMULATOR_LOWER: Final = "a2q.accumulator_lower"
ACCUMULATOR_UPPER: Final = "a2q.accumulator_upper"
WEIGHTS_SHA256: Final = "a2q.weights_sha256"
ZERO_POINT: Final = "a2q.zero_point"
CERTIFICATE_SHA256: Final = "a2q.certificate_sha256"
