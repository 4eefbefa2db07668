"""The words of a stream: in which order a unit writes its elements, and where a word lies in the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.hw._ir import SlidingWindow, Unit
from brevitas_a2q.rtl._circuit import Context, Port
from brevitas_a2q.rtl._memory_image import encoded, pieces

__all__ = ["elements_of", "input_elements", "place_of", "stream_words"]


def elements_of(unit: Unit, values: IntArray, port: Port, context: Context) -> IntArray:
    """A unit's output in stream order; shape: (words, elements of a word).

    Images come behind each other, pixels row by row, the channels of a pixel (the taps of a window, its groups of
    channels outside them) in order.
    """
    if isinstance(unit, SlidingWindow):
        n, h, w, taps, channels = values.shape
        groups = unit.streamed_groups(context.foldings[unit.name])
        values = values.reshape(n, h, w, taps, groups, channels // groups).transpose(0, 1, 2, 4, 3, 5)
    return np.ascontiguousarray(values).reshape(-1, port.elements)


def input_elements(values: IntArray, port: Port) -> IntArray:
    """The network's input, shape (images, height, width, channels), in stream order."""
    return values.reshape(-1, port.elements)


def stream_words(elements: IntArray, port: Port) -> npt.NDArray[Any]:
    """Elements as the 32-bit pieces of words; shape: (words, pieces)."""
    return pieces(encoded(elements, port.type), port.type.bit_width)


def place_of(unit: Unit, port: Port, index: int, per_image: int) -> str:
    """Where a word lies, for messages: its image and pixel, and the element of that pixel it begins with."""
    image, word = divmod(index, per_image)
    per_pixel = max(1, per_image // max(1, unit.pixels))
    pixel, part = divmod(word, per_pixel)
    return f"image {image}, pixel {pixel}, channels from {part * port.elements}"
