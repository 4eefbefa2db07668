"""Weight, accumulator and threshold minimisation against FINN's own results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._finn.data_types import data_type
from brevitas_a2q.hw._finn.minimize import minimize_accumulator, minimize_thresholds, minimize_weights
from brevitas_a2q.hw._finn.node import finn_node

PART = "xczu7ev-ffvc1156-2-e"


def resources(row: dict[str, Any], attributes: dict[str, Any]) -> dict[str, float]:
    node = finn_node(row["op"], attributes, PART, row["finn"])
    return {
        "BRAM_18K": node.bram18,
        "BRAM_efficiency": node.bram_efficiency,
        "LUT": node.lut,
        "URAM": node.uram,
        "URAM_efficiency": node.uram_efficiency,
        "DSP": node.dsp,
    }


def thresholding(row: dict[str, Any]) -> dict[str, Any]:
    """What FINN's row says, as we compute it; an error of FINN's is one of ours."""
    thresholds = np.array(row["thresholds_before"], dtype=np.int64)
    before = row["attrs_before"]
    answer = "weight_dt_acc" if row["finn"] == "main" else "weight_dt_w"
    try:
        after = minimize_thresholds(row["op"], before, thresholds, row["finn"])
        said = after["weightDataType"]
    except ConfigError:
        after, said = before, row[answer] if isinstance(row[answer], dict) else "refused"
    return {answer: said, "weight_dt": after["weightDataType"], "res_after": resources(row, after)}


def matrix(row: dict[str, Any]) -> dict[str, Any]:
    weights = np.array(row["weights"], dtype=np.int64).reshape(row["weight_shape"])
    weights = weights.T if row["op"].startswith("MVAU") else weights.reshape(weights.shape[0], -1)
    thresholds = np.array(row["thresholds_before"], dtype=np.int64) if "thresholds_before" in row else None
    after = minimize_weights(row["op"], row["attrs_before"], weights, thresholds, row["finn"])
    said = {"weight_dt": after["weightDataType"]}
    try:
        done = minimize_accumulator(
            row["op"], after, weights, thresholds, is_last=row["last_node"], version=row["finn"]
        )
        after, said["acc_dt"] = done.attributes, done.attributes["accDataType"]
        if "thresholds_after" in row and done.thresholds is not None:
            said["thresholds_after"] = done.thresholds.tolist()
    except ConfigError:
        said["acc_dt"] = row["acc_dt"] if isinstance(row["acc_dt"], dict) else "refused"
    node = finn_node(row["op"], after, PART, row["finn"])
    widths = {"in_width": node.input_width, "out_width": node.output_width}
    return {**said, **widths, "out_dt": after["outputDataType"], "res_after": resources(row, after)}


def mismatches(row: dict[str, Any]) -> list[tuple[Any, ...]]:
    said = thresholding(row) if row["op"].startswith("Thresholding") else matrix(row)
    said["res_before"] = resources(row, row["attrs_before"])
    return [
        (row["finn"], row["op"], name, said.get(name), row[name], row["attrs_before"])
        for name in ("res_before", "weight_dt", "weight_dt_acc", "weight_dt_w", "acc_dt", "out_dt", "in_width",
                     "out_width", "thresholds_after", "res_after")
        if name in row and said.get(name) != row[name]
    ]  # fmt: skip


def test_golden_rows(golden_minimize: list[dict[str, Any]]) -> None:
    assert any(row.get("weight_dt") == "BIPOLAR" for row in golden_minimize)
    assert any(isinstance(row.get("acc_dt"), dict) for row in golden_minimize)
    assert [m for row in golden_minimize for m in mismatches(row)] == []


@pytest.mark.parametrize("version", ["main", "dev"])
def test_every_row_of_the_reference(oracle_minimize: list[dict[str, Any]], version: str) -> None:
    rows = [row for row in oracle_minimize if row["finn"] == version]
    assert len(rows) >= 80
    assert [m for row in rows for m in mismatches(row)] == []


@pytest.mark.parametrize(
    ("values", "name"),
    [([-1, 0], "BIPOLAR"), ([-1, 1], "INT2"), ([0, 0], "BINARY"), ([-8, 7], "INT4"), ([-7, 8], "INT5"), ([3], "UINT2")],
)
def test_weight_types_with_finns_mistakes(values: list[int], name: str) -> None:
    """{-1, 0} to BIPOLAR, which has no zero, is FINN's own answer (confirmed by running it)."""
    assert minimize_weights("MVAU_hls", {"weightDataType": "INT8"}, np.array(values))["weightDataType"] == name


def test_writeable_weights_keep_their_type() -> None:
    attributes = {"weightDataType": "INT8", "runtime_writeable_weights": 1}
    assert minimize_weights("MVAU_hls", attributes, np.array([1])) == attributes


def test_writeable_signed_weights_and_inputs_differ_by_branch() -> None:
    """K = 1, INT2 x INT2: the highest product is (-2) * (-2) = 4, but main only tries the largest weight, 1 * 1."""
    attributes = {
        "inputDataType": "INT2", "weightDataType": "INT2", "noActivation": 1, "runtime_writeable_weights": 1
    }  # fmt: skip
    weights = np.array([[1]])
    main, dev = (
        minimize_accumulator("MVAU_hls", attributes, weights, version=v).attributes["accDataType"]
        for v in ("main", "dev")
    )
    assert (main, dev) == ("INT2", "INT4")


def test_an_all_zero_layer_gets_no_bits_and_cannot_be_last() -> None:
    attributes = {"inputDataType": "UINT4", "weightDataType": "INT4", "noActivation": 1}
    zeros = np.zeros((2, 3), dtype=np.int64)
    assert minimize_accumulator("MVAU_hls", attributes, zeros).attributes["outputDataType"] == "UINT0"
    with pytest.raises(ConfigError, match="all-zero layer"):
        minimize_accumulator("MVAU_hls", attributes, zeros, is_last=True)


def test_the_last_sum_is_rounded_up_to_whole_bytes_unless_binary() -> None:
    """FINN edits the digits in the type's name, and BINARY has none."""
    attributes = {"inputDataType": "UINT4", "weightDataType": "INT4", "noActivation": 1}
    last = minimize_accumulator("MVAU_hls", attributes, np.array([[3, -5]]), is_last=True)
    assert last.attributes["accDataType"] == "INT8"
    binary = {**attributes, "inputDataType": "BINARY"}
    assert minimize_accumulator("MVAU_hls", binary, np.array([[1]]), is_last=True).attributes["accDataType"] == "BINARY"


def test_dev_refuses_thresholds_that_the_accumulator_type_cannot_hold() -> None:
    attributes = {"inputDataType": "UINT4", "weightDataType": "INT4", "accDataType": "UINT16", "noActivation": 0}
    weights, thresholds = np.array([[1, 2]]), np.array([[-5, 5]])
    assert minimize_weights("MVAU_hls", attributes, weights, thresholds)["weightDataType"] == "UINT2"
    with pytest.raises(ConfigError, match="a range of UINT16"):
        minimize_weights("MVAU_hls", attributes, weights, thresholds, "dev")


def test_bipolar_layers_have_no_negative_thresholds() -> None:
    attributes = {"inputDataType": "BIPOLAR", "weightDataType": "BIPOLAR", "noActivation": 0}
    weights, thresholds = np.array([[-1, -1]]), np.array([[-5, 5]])
    with pytest.raises(ConfigError, match="bipolar"):
        minimize_accumulator("MVAU_hls", attributes, weights, thresholds)
    with pytest.raises(ConfigError, match="bipolar"):
        minimize_weights("MVAU_hls", attributes, weights, thresholds, "dev")


@given(
    st.lists(st.lists(st.integers(-8, 7), min_size=3, max_size=3), min_size=1, max_size=3),
    st.sampled_from(["UINT1", "UINT2", "INT2", "INT3", "TERNARY"]),
)
def test_the_accumulator_holds_every_sum(rows: list[list[int]], inputs: str) -> None:
    weights = np.array(rows, dtype=np.int64)
    kind = data_type(inputs)
    values = np.arange(kind.lo, kind.hi + 1)
    grid = np.stack(np.meshgrid(values, values, values), axis=-1).reshape(-1, 3)
    sums = grid @ weights.T
    attributes = {"inputDataType": inputs, "weightDataType": "INT4"}
    found = data_type(minimize_accumulator("MVAU_hls", attributes, weights).attributes["accDataType"])
    assert found.lo <= sums.min()
    assert sums.max() <= found.hi
    if found.bits:
        narrower = f"{'INT' if found.signed else 'UINT'}{found.bits - 1}"
        tight = data_type(narrower) if found.bits > 1 else data_type("UINT0")
        assert sums.min() < tight.lo or sums.max() > tight.hi
