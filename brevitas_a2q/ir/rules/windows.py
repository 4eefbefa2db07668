"""The geometry that convolutions and pools share: kernel, strides, pads, dilations, and the size of the output."""

from __future__ import annotations

from dataclasses import dataclass

from brevitas_a2q.ir.rules.call import Call

__all__ = ["Window", "read_window"]


@dataclass(frozen=True)
class Window:
    """A sliding window over one or two spatial dimensions; ``pads`` as in ONNX: all begins, then all ends."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]

    def output_size(self, size: tuple[int, ...], ceil_mode: bool = False) -> tuple[int, ...]:
        """Positions of the window in each dimension of an image of this size."""
        rank = len(self.kernel)
        outputs = []
        for d in range(rank):
            span = self.dilations[d] * (self.kernel[d] - 1) + 1
            free = size[d] + self.pads[d] + self.pads[d + rank] - span
            steps = -(-free // self.strides[d]) if ceil_mode else free // self.strides[d]
            if ceil_mode and steps * self.strides[d] >= size[d] + self.pads[d]:
                steps -= 1  # a window must begin inside the image or its leading pad
            outputs.append(steps + 1 if free >= 0 else 0)
        return tuple(outputs)

    @property
    def attributes(self) -> dict[str, tuple[int, ...]]:
        """As node attributes."""
        return {
            "kernel_shape": self.kernel,
            "strides": self.strides,
            "pads": self.pads,
            "dilations": self.dilations,
        }


def read_window(call: Call, kernel: tuple[int, ...], size: tuple[int, ...]) -> Window:
    """The window of a Conv or pool over an image of this size, with ``auto_pad`` resolved."""
    rank = len(kernel)
    if rank not in (1, 2) or len(size) != rank:
        raise call.error(f"found a window of {rank} dimensions", expected="1 or 2 spatial dimensions")
    ones = (1,) * rank
    strides, dilations = call.sizes("strides", ones), call.sizes("dilations", ones)
    auto = call.attribute("auto_pad", "NOTSET")
    if auto == "NOTSET":
        pads = call.sizes("pads", (0,) * (2 * rank), low=0)
    elif auto == "VALID":
        pads = (0,) * (2 * rank)
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        begins, ends = [], []
        for d in range(rank):
            span = dilations[d] * (kernel[d] - 1) + 1
            total = max(0, (-(-size[d] // strides[d]) - 1) * strides[d] + span - size[d])
            begins.append(total // 2 if auto == "SAME_UPPER" else total - total // 2)
            ends.append(total - begins[-1])
        pads = tuple(begins + ends)
    else:
        raise call.error(f"found auto_pad {auto!r}", expected="NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    return Window(kernel, strides, pads, dilations)
