"""The windows of convolutions and pools, as ONNX writes them."""

from __future__ import annotations

from brevitas_a2q._ir.rules.call import Call, Unstated
from brevitas_a2q._ranges import Window

__all__ = ["read_window", "window_attributes"]


def read_window(
    call: Call, kernel: tuple[int, ...], size: tuple[int, ...], ceil: bool = False, most: int = 2
) -> Window:
    """The window of a Conv or pool over an image of this size, with ``auto_pad`` resolved; of at most so many axes."""
    rank = len(kernel)
    if len(size) != rank:
        raise call.error(f"found a window of {rank} dimensions", expected=f"{len(size)}")
    if not 1 <= rank <= most:
        raise Unstated(f"a window of {rank} dimensions")
    declared = call.sizes("kernel_shape", kernel)
    if declared != kernel:
        raise call.error(f"found kernel_shape {declared}", expected=f"{kernel}, as the weights are")
    ones = (1,) * rank
    strides, dilations = call.sizes("strides", ones), call.sizes("dilations", ones)
    auto = call.attribute("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        pads = call.sizes("pads", (0,) * (2 * rank), low=0)
        sides = tuple(zip(pads[:rank], pads[rank:], strict=True))
    elif auto == "VALID":
        sides = ((0, 0),) * rank
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        sides = tuple(_same(size[d], kernel[d], strides[d], dilations[d], auto == "SAME_UPPER") for d in range(rank))
    else:
        raise call.error(f"found auto_pad {auto!r}", expected="NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    if ceil and auto not in ("NOTSET", ""):
        raise Unstated("ceil_mode with auto_pad")
    return Window.of(kernel, strides, sides, dilations, ceil)


def _same(size: int, kernel: int, stride: int, dilation: int, upper: bool) -> tuple[int, int]:
    span = dilation * (kernel - 1) + 1
    total = max(0, (-(-size // stride) - 1) * stride + span - size)
    less = total // 2
    return (less, total - less) if upper else (total - less, less)


def window_attributes(window: Window) -> dict[str, tuple[int, ...]]:
    """As node attributes; pads as in ONNX: all begins, then all ends."""
    begins, ends = (tuple(pad[side] for pad in window.pads) for side in (0, 1))
    return {
        "kernel_shape": window.kernel,
        "strides": window.stride,
        "pads": begins + ends,
        "dilations": window.dilation,
    }
