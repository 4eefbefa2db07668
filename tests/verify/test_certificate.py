"""The exact range, its witnesses, and what holds, against every input of layers small enough to try them all."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brevitas_a2q._ir.dot_product import DotProductLayer
from brevitas_a2q._ir.network import Assumption
from brevitas_a2q.bounds import accumulator_range, data_type_bound, required_bit_width, weight_bound
from brevitas_a2q.errors import CertificateError, ModelError
from brevitas_a2q.verify._certificate import Certificate, certify_layers


@st.composite
def small_layers(draw: st.DrawFn, tiles: bool = False) -> DotProductLayer:
    """Layers with one input range for all products or one each, with and without bias."""
    channels, size = draw(st.integers(1, 3)), draw(st.integers(2 if tiles else 1, 4))
    width = size if draw(st.booleans()) else 1
    bias = draw(st.none() | st.lists(st.integers(-9, 9), min_size=channels, max_size=channels))

    def row(low: int, high: int, length: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=length, max_size=length))

    return DotProductLayer(
        name="layer",
        op="MatMul",
        weights=np.array([row(-4, 4, size) for _ in range(channels)], np.int64),
        x_lo=np.array([row(-3, 0, width)], np.int64),
        x_hi=np.array([row(0, 3, width)], np.int64),
        input_bit_width=3,
        input_signed=True,
        weight_bit_width=4,
        bias=None if bias is None else np.array(bias, np.int64),
        accumulator_bit_width=draw(st.integers(2, 8)),
        tile=draw(st.integers(1, size - 1)) if tiles else None,
    )


def partial_sums(layer: DotProductLayer, channel: int, products: slice = slice(None)) -> tuple[int, int]:
    """Lowest and highest partial sum of one channel over all inputs and all orders of additions, bias included."""
    size = layer.dot_product_size
    low, high = (np.broadcast_to(ends, (1, size))[0] for ends in (layer.x_lo, layer.x_hi))
    bias = [] if layer.bias is None or products != slice(None) else [int(layer.bias[channel])]
    lowest = highest = 0
    for x in itertools.product(*(range(a, b + 1) for a, b in zip(low, high, strict=True))):
        terms = [int(w) * v for w, v in zip(layer.weights[channel], x, strict=True)][products] + bias
        # Some order adds the negative terms first, another the positive ones.
        lowest = min(lowest, sum(term for term in terms if term < 0))
        highest = max(highest, sum(term for term in terms if term > 0))
    return lowest, highest


@settings(max_examples=60, deadline=None)
@given(small_layers())
def test_range_is_that_of_all_partial_sums(layer: DotProductLayer) -> None:
    certified = certify_layers([layer]).layers[0]
    expected = [partial_sums(layer, channel) for channel in range(layer.channels)]
    assert [(c.lower, c.upper) for c in certified.channels] == expected
    widths = [required_bit_width(*ends) for ends in expected]
    assert [c.required_bit_width for c in certified.channels] == widths
    assert certified.required_bit_width == max(widths)
    assert (certified.lower, certified.upper) == expected[certified.sums.worst_channel]


@settings(max_examples=60, deadline=None)
@given(small_layers())
def test_holds_is_true_exactly_when_no_partial_sum_overflows(layer: DotProductLayer) -> None:
    certificate = certify_layers([layer])
    assert layer.accumulator_bit_width is not None
    limit = accumulator_range(layer.accumulator_bit_width)
    ends = [partial_sums(layer, channel) for channel in range(layer.channels)]
    assert certificate.holds == all(low in limit and high in limit for low, high in ends)
    margin = certificate.layers[0].margin_bits
    assert margin is not None
    assert (margin >= 0) == certificate.holds


@settings(max_examples=60, deadline=None)
@given(small_layers())
def test_witness_reaches_its_end(layer: DotProductLayer) -> None:
    certified = certify_layers([layer]).layers["layer"]
    for channel, ends in enumerate(certified.channels):
        bias = 0 if layer.bias is None else int(layer.bias[channel])
        for end, value in (("lower", ends.lower), ("upper", ends.upper)):
            x = certified.witness(channel, end)  # type: ignore[arg-type]
            assert (layer.x_lo <= x).all()
            assert (x <= layer.x_hi).all()
            assert int(layer.weights[channel] @ x) + (min(bias, 0) if end == "lower" else max(bias, 0)) == value


@settings(max_examples=60, deadline=None)
@given(small_layers(tiles=True))
def test_tiles_are_bounded_one_by_one(layer: DotProductLayer) -> None:
    certified = certify_layers([layer]).layers[0]
    assert layer.tile is not None
    starts = range(0, layer.dot_product_size, layer.tile)
    for channel, found in enumerate(certified.channels):
        tiles = [partial_sums(layer, channel, slice(start, start + layer.tile)) for start in starts]
        assert (found.lower, found.upper) == (min(low for low, _ in tiles), max(high for _, high in tiles))
    whole = certify_layers([replace(layer, tile=None)]).layers[0]
    assert certified.outer is not None
    assert (certified.outer.lower, certified.outer.upper) == (whole.sums.lower, whole.sums.upper)


def layer_of(weights: list[list[int]], hi: int = 15, **options: object) -> DotProductLayer:
    """A layer with unsigned 4-bit inputs and 4-bit weights."""
    array = np.array(weights, np.int64)
    return DotProductLayer("fc", "MatMul", array, np.array([[0]]), np.array([[hi]]), 4, False, 4, **options)  # type: ignore[arg-type]


def test_layers_without_target_do_not_make_it_false() -> None:
    certificate = certify_layers([layer_of([[7, 7]])])
    assert certificate.holds
    assert certificate.targets == 0
    assert certificate.layers[0].margin_bits is None


def test_one_channel_that_overflows_is_enough() -> None:
    layer = layer_of([[1, 0], [7, 7]], accumulator_bit_width=8)  # 7 * 15 + 7 * 15 = 210 needs 9 bits
    certificate = certify_layers([layer])
    assert not certificate.holds
    assert [channel.margin_bits for channel in certificate.layers[0].channels] == [3, -1]


def test_outer_accumulator_counts() -> None:
    tiled = layer_of([[7, 7, 7, 7]], tile=1, accumulator_bit_width=8, outer_accumulator_bit_width=9)
    certificate = certify_layers([tiled])
    assert certificate.layers[0].sums.holds  # 105 fits 8 bits
    assert not certificate.holds  # 420 does not fit 9
    assert certify_layers([replace(tiled, outer_accumulator_bit_width=10)]).holds


def test_published_bounds_are_beside_the_exact_one() -> None:
    certified = certify_layers([layer_of([[7, -7, 3]])]).layers[0]
    assert certified.data_type_bit_width == data_type_bound(3, 4, 4, False)
    assert certified.weights_bit_width == weight_bound(17, 4, False)
    assert certified.required_bit_width <= certified.weights_bit_width <= certified.data_type_bit_width


def test_sums_beyond_64_bits_stay_exact() -> None:
    large = (1 << 62) - 1
    layer = DotProductLayer(
        "fc", "MatMul", np.full((1, 8), large), np.array([[-large]]), np.array([[large]]), 16, True, 16
    )
    certified = certify_layers([layer]).layers[0]
    assert certified.upper == 8 * large**2
    assert certified.lower == -certified.upper
    assert certified.required_bit_width == certified.upper.bit_length() + 1


def test_layers_go_by_name_and_by_index() -> None:
    layers = certify_layers([layer_of([[1]]), replace(layer_of([[2]]), name="head")]).layers
    assert layers["head"] is layers[1] is layers[-1]
    assert [layer.name for layer in layers[:1]] == ["fc"]
    with pytest.raises(KeyError, match="layers are fc, head"):
        layers["tail"]


def test_no_layers_or_two_of_one_name_are_refused() -> None:
    with pytest.raises(ModelError, match="found no layer with integer dot products"):
        certify_layers([])
    with pytest.raises(ModelError, match="layer fc: found two layers of this name"):
        certify_layers([layer_of([[1]]), layer_of([[2]])])


def test_a_certificate_from_json_has_the_worst_witness_only() -> None:
    certificate = certify_layers([layer_of([[1, 0], [7, -7]])])
    read = Certificate.from_json(certificate.to_json())
    assert read.layers[0].witness().tolist() == [15, 0]
    assert read.layers[0].witness(end="lower").tolist() == [0, 15]
    with pytest.raises(CertificateError, match="layer fc: found no witness of channel 0"):
        read.layers[0].witness(0)


def test_its_text_names_what_it_is_silent_about_and_what_it_rests_on() -> None:
    """Who prints a certificate must not read that all is held where a layer is not covered."""
    rests = [Assumption("its inputs are UINT8", accepted=False), Assumption("scales", accepted=True, used=False)]
    text = str(certify_layers([layer_of([[7, 7]])], ["first: float input (of the network)"], rests))
    assert text.splitlines()[1:] == [
        "first: not covered: float input (of the network)",
        "ASSUMED BY THE FILE ALONE: its inputs are UINT8",
        "noted: scales",
        "holds",
    ]
