"""Keys under which an exported file carries what QONNX has no field for; written by the exporter, read by the reader.

ONNX keeps free text pairs (``metadata_props``) on a model and, from IR version 10, on each node. Values are strings;
integers are written in decimal. A layer's keys stand on the node that computes its dot products (Conv, ConvTranspose,
MatMul or Gemm).
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACCUMULATOR_BIT_WIDTH",
    "ACCUMULATOR_LOWER",
    "ACCUMULATOR_TILE",
    "ACCUMULATOR_UPPER",
    "CERTIFICATE_SHA256",
    "OUTER_ACCUMULATOR_BIT_WIDTH",
    "REQUIRED_BIT_WIDTH",
]

# On a layer's node.
ACCUMULATOR_BIT_WIDTH: Final = "brevitas_a2q.accumulator_bit_width"  # target P (of one tile, where there is a tile)
ACCUMULATOR_TILE: Final = "brevitas_a2q.accumulator_tile"  # products per tile
OUTER_ACCUMULATOR_BIT_WIDTH: Final = "brevitas_a2q.outer_accumulator_bit_width"  # of the sum of tiles
REQUIRED_BIT_WIDTH: Final = "brevitas_a2q.required_bit_width"  # smallest P that holds every sum
ACCUMULATOR_LOWER: Final = "brevitas_a2q.accumulator_lower"  # exact lowest sum over every input
ACCUMULATOR_UPPER: Final = "brevitas_a2q.accumulator_upper"  # exact highest sum over every input

# On the model.
CERTIFICATE_SHA256: Final = "brevitas_a2q.certificate_sha256"  # hash of the integer weights that were certified
