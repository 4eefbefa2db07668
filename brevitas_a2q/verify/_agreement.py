"""A certificate held against what a network really is: everything is computed again, and everything compared."""

from __future__ import annotations

from brevitas_a2q.bounds import data_type_bound, weight_bound
from brevitas_a2q.verify._certificate import Certificate
from brevitas_a2q.verify._layer_certificate import LayerCertificate, largest_norm
from brevitas_a2q.verify._sums import End, SumRange

__all__ = ["differences"]


def differences(claimed: Certificate, found: Certificate) -> tuple[str, ...]:
    """What a certificate claims that a file does not keep, one sentence each; empty if it keeps all.

    Layers are matched by name, or by order where no name occurs in both (a model and its exported file name layers
    differently). A claim is kept if operator, weights, bias, tile and widths are the same, every channel's sum and
    every input, computed from the file, stays inside the claimed range, and what the claim says of its own range
    (widths, witnesses; the sums themselves, where the range is the file's) comes out the same when computed again.
    """
    names = {layer.name for layer in found.layers}
    by_name = any(layer.name in names for layer in claimed.layers)
    if by_name:
        lost = [f"layer {layer.name}: not in the file" for layer in claimed.layers if layer.name not in names]
        known = {layer.name for layer in claimed.layers}
        lost += [f"layer {layer.name}: not in the certificate" for layer in found.layers if layer.name not in known]
        pairs = [(layer, found.layers[layer.name]) for layer in claimed.layers if layer.name in names]
    elif len(claimed.layers) != len(found.layers):
        return (f"found {len(found.layers)} layers in the file; the certificate has {len(claimed.layers)}",)
    else:
        lost, pairs = [], list(zip(claimed.layers, found.layers, strict=True))
    return (*lost, *(f"layer {there.name}: {broken}" for here, there in pairs for broken in _broken(here, there)))


def _broken(claim: LayerCertificate, found: LayerCertificate) -> list[str]:
    if claim.weights_sha256 != found.weights_sha256:
        return ["its integer weights are others"]
    if claim.bias_sha256 != found.bias_sha256:
        return ["its integer bias is another"]
    same = {
        "op": "the operator",
        "inputs": "the number of products",
        "weight_bit_width": "the weights' width",
        "accumulator_bit_width": "the target width",
        "tile": "the tile",
        "order": "the order of products",
        "zero_point": "the datapath of the zero-point",
    }
    broken = [
        f"{what} is {getattr(found, field)}, certified {getattr(claim, field)}"
        for field, what in same.items()
        if getattr(claim, field) != getattr(found, field)
    ]
    if broken:
        return broken
    if not (_inside(claim.sums, found.sums) and _inside(claim.outer, found.outer) and _wider(claim, found)):
        return [
            f"its sums or inputs leave the certified range (its inputs are [{found.input_range.lower}, "
            f"{found.input_range.upper}], certified [{claim.input_range.lower}, {claim.input_range.upper}])"
        ]
    return [*_widths(claim, found), *_witnesses(claim, found)]


def _inside(claim: SumRange | None, found: SumRange | None) -> bool:
    if claim is None or found is None:
        return claim is found
    if len(claim.lower) != len(found.lower):
        return False
    low = all(here <= there for here, there in zip(claim.lower, found.lower, strict=True))
    high = all(here >= there for here, there in zip(claim.upper, found.upper, strict=True))
    return low and high and claim.accumulator_bit_width == found.accumulator_bit_width


def _wider(claim: LayerCertificate, found: LayerCertificate) -> bool:
    """Whether the claim's inputs include the network's."""
    here, there = claim.input_range, found.input_range
    return here.lower <= there.lower and here.upper >= there.upper


def _widths(claim: LayerCertificate, found: LayerCertificate) -> list[str]:
    """The widths that follow from the claim's own types, and the sums from its own inputs, computed again."""
    layer, inputs = found.layer, claim.input_range
    if layer is None:
        return []
    size = found.tile or found.inputs
    by_type = data_type_bound(size, inputs.bit_width, found.weight_bit_width, inputs.signed)
    by_weights = weight_bound(largest_norm(layer, found.tile), inputs.bit_width, inputs.signed)
    broken = []
    if claim.data_type_bit_width != by_type:
        broken.append(f"the width by type is {by_type}, certified {claim.data_type_bit_width}")
    if claim.weights_bit_width != by_weights:
        broken.append(f"the width by weights is {by_weights}, certified {claim.weights_bit_width}")
    types = (inputs.bit_width, inputs.signed)
    alike = (inputs.lower, inputs.upper, inputs.sha256) == (
        found.input_range.lower,
        found.input_range.upper,
        found.input_range.sha256,
    )
    if alike and types != (found.input_range.bit_width, found.input_range.signed):
        broken.append(f"its inputs are of {found.input_range.bit_width} bits, certified {inputs.bit_width}")
    if alike and (claim.sums != found.sums or claim.outer != found.outer):
        broken.append("its sums are others, of the same inputs")
    if alike and claim.guards != found.guards:
        broken.append(f"the guarded datapaths are {', '.join(found.guards)}, certified {', '.join(claim.guards)}")
    return broken


def _witnesses(claim: LayerCertificate, found: LayerCertificate) -> list[str]:
    """Whether the claim's worst inputs are inputs, and drive the worst channel to the ends that are claimed."""
    layer, inputs = found.layer, claim.input_range
    if layer is None:
        return []
    worst = claim.sums.worst_channel
    weights = [int(w) for w in layer.weights[worst]]
    bias = 0 if layer.bias is None else int(layer.bias[worst])
    ends: tuple[End, End] = ("lower", "upper")
    for end in ends:
        x = claim.worst_witness[end]
        if len(x) != found.inputs or min(x) < min(inputs.lower, 0) or max(x) > max(inputs.upper, 0):
            return [f"the {end} witness is no input of the layer"]
        choose = min if end == "lower" else max
        tile = found.tile or len(x)
        reached = [
            sum(w * v for w, v in zip(weights[i : i + tile], x[i : i + tile], strict=True))
            for i in range(0, len(x), tile)
        ]
        total = choose(reached) if found.tile else reached[0] + choose(bias, 0)
        if total != getattr(claim, end):
            return [f"the {end} witness reaches {total}, certified {getattr(claim, end)}"]
    return []
