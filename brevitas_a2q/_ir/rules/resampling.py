"""Images at another resolution."""

from __future__ import annotations

import numpy as np

from brevitas_a2q._ir.rules.call import Call, Result, Unstated
from brevitas_a2q._ir.tensor import Tensor
from brevitas_a2q._ranges import table
from brevitas_a2q._ranges.annotation import MAX_ANNOTATION
from brevitas_a2q._ranges.movement import along

__all__ = ["depth_to_space", "resize", "space_to_depth", "upsample"]


def upsample(call: Call) -> Result:
    """Upsample (to opset 9): nearest neighbours or linear, by constant scales."""
    x = call.stream(3)
    if call.opset >= 9:
        scales = [float(v) for v in call.constant(1, "scales").reshape(-1)]
    else:
        scales = [float(v) for v in call.node.attributes.get("scales", ())]
    mode = call.attribute("mode", "nearest")
    return _resized(call, x, scales, None, mode, exact=mode == "nearest")


def resize(call: Call) -> Result:
    """Resize by nearest neighbours, or by linear or cubic interpolation."""
    x, mode = call.stream(3), call.attribute("mode", "nearest")
    if call.opset < 11:
        return _resized(
            call, x, [float(v) for v in call.constant(1, "scales").reshape(-1)], None, mode, mode == "nearest"
        )
    where = call.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = call.attribute("nearest_mode", "round_prefer_floor")
    unusual = ("axes", "keep_aspect_ratio_policy", "antialias", "exclude_outside")
    if where == "tf_crop_and_resize" or any(call.node.attributes.get(name) for name in unusual):
        raise Unstated("resizing of chosen axes, or beyond the image")
    # For an integer factor both of these read pixel floor(i / factor); other combinations do not.
    exact = (where, rounding) == ("asymmetric", "floor") or (where, rounding[:5]) == ("half_pixel", "round")
    given = call.optional(3)
    if given is not None and given.size:
        sizes = call.integers(3, "sizes")
        return _resized(call, x, [v / n for v, n in zip(sizes, x.shape, strict=False)], sizes, mode, exact)
    return _resized(call, x, [float(v) for v in call.constant(2, "scales").reshape(-1)], None, mode, exact)


def _resized(call: Call, x: Tensor, factors: list[float], sizes: list[int] | None, mode: str, exact: bool) -> Result:
    if len(factors) != len(x.shape) or any(not 0 < f < 1 << 16 for f in factors):
        raise call.error(f"found factors {factors}", expected=f"{len(x.shape)} positive numbers")
    whole = tuple(int(f) if f >= 1 and f % 1 == 0 else 0 for f in factors)
    scaled = [int(np.floor(np.float32(n) * np.float32(f))) for n, f in zip(x.shape, factors, strict=True)]
    shape = call.check_shape(tuple(sizes or scaled))
    if mode == "nearest" and exact and all(whole) and whole[:2] == (1, 1) and max(shape) <= MAX_ANNOTATION:
        indices = [np.arange(n * f) // f if f > 1 else None for n, f in zip(x.shape, whole, strict=True)]
        return call.done(table.resize(x, indices), op="Upsample", inputs=1, attributes={"scales": whole})
    axes = tuple(d for d, f in enumerate(factors) if f != 1 or shape[d] != x.shape[d])
    if mode == "nearest":
        return call.island(along(x, axes, shape, x.origin), reason="nearest neighbours at other places")
    if any(axis < 2 for axis in axes):
        raise Unstated("interpolation of other axes than the image's")
    spatial = len(x.shape) - 2
    if mode == "linear":
        return call.island(table.interpolate(x, shape, 1.0, 2**spatial), reason="interpolation")
    if mode == "cubic":
        reach = (1 + abs(call.attribute("cubic_coeff_a", -0.75)) / 2) ** spatial
        return call.island(table.interpolate(x, shape, reach, 4**spatial), reason="interpolation")
    raise Unstated(f"resizing of mode {mode}")


def depth_to_space(call: Call) -> Result:
    """DepthToSpace (pixel shuffle), modes DCR and CRD."""
    x, block = call.tensor(0), call.attribute("blocksize", 1, required=True)
    mode = call.attribute("mode", "DCR")
    if not 1 <= block <= 1 << 10:
        raise call.error(f"found block size {block}", expected="1 to 1024")
    return call.done(table.pixel_shuffle(x, block, mode), attributes={"blocksize": block, "mode": mode})


def space_to_depth(call: Call) -> Result:
    """SpaceToDepth, the position in the block varying slowest."""
    x, block = call.tensor(0), call.attribute("blocksize", 1, required=True)
    if call.attribute("mode", "DCR") != "DCR" or not 1 <= block <= 1 << 10:
        raise Unstated("another order of elements")
    return call.island(table.space_to_depth(x, block), reason="pixels to channels")
