"""Certificates as JSON: read back as they were, refused when tampered with, re-checked against what a file holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from brevitas_a2q._ir.dot_product import DotProductLayer
from brevitas_a2q._ir.network import Assumption
from brevitas_a2q.errors import CertificateError
from brevitas_a2q.verify._agreement import differences
from brevitas_a2q.verify._certificate import Certificate, certify_layers
from brevitas_a2q.verify._document import certificate_json, digest


def layer(name: str = "conv", **options: Any) -> DotProductLayer:
    weights = np.array([[1, -2, 3], [0, 2, -1]])
    fields: dict[str, Any] = {"accumulator_bit_width": 8, "bias": np.array([4, -4]), **options}
    return DotProductLayer(name, "Conv", weights, np.array([[0]]), np.array([[15]]), 4, False, 3, **fields)


def document(**options: Any) -> dict[str, Any]:
    return certify_layers([layer(**options)]).to_json()


def test_a_certificate_survives_json() -> None:
    certificate = certify_layers([layer(), layer("tiled", tile=2, outer_accumulator_bit_width=9)], ["head"])
    assert Certificate.from_json(certificate.to_json()) == certificate
    assert Certificate.from_json(certificate_json(certificate)) == certificate


def test_published_fields_of_a_layer() -> None:
    found = document()["layers"][0]
    assert {key: found[key] for key in ("name", "inputs", "accumulator_bit_width", "required_bit_width")} == {
        "name": "conv",
        "inputs": 3,
        "accumulator_bit_width": 8,
        "required_bit_width": 8,
    }
    assert (found["lower"], found["upper"], found["data_type_bit_width"]) == (-30, 64, 9)


def test_hash_is_the_documented_one() -> None:
    text = b"2 3\n" + b"".join(int(v).to_bytes(8, "little", signed=True) for v in (1, -2, 3, 0, 2, -1))
    assert document()["layers"][0]["weights_sha256"] == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(holds=False),
        lambda d: d["layers"][0].update(required_bit_width=7),
        lambda d: d["layers"][0].update(lower=-1),
        lambda d: d["layers"][0].update(accumulator_bit_width=32),
        lambda d: d["layers"][0]["channels"]["upper"].__setitem__(0, 10),
        lambda d: d.update(extra=1),
    ],
)
def test_a_certificate_that_contradicts_itself_is_refused(change: Callable[[Any], None]) -> None:
    tampered = json.loads(json.dumps(document()))
    change(tampered)
    with pytest.raises(CertificateError, match="was changed after it was written"):
        Certificate.from_json(tampered)
    tampered["sha256"] = digest(tampered)  # a forger's
    with pytest.raises(CertificateError, match="contradicts itself"):
        Certificate.from_json(tampered)


def forged(change: Callable[[Any], None]) -> Certificate:
    """A certificate whose fields were changed, with a digest that fits."""
    document_ = json.loads(json.dumps(document()))
    change(document_["layers"][0])
    return Certificate.from_json({**document_, "sha256": digest(document_)})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.update(op="MatMul"), "the operator"),
        (lambda d: d.update(inputs=4), "the number of products"),
        (lambda d: d.update(weight_bit_width=1), "the weights' width"),
        (lambda d: d.update(data_type_bit_width=2), "the width by type"),
        (lambda d: d.update(weights_bit_width=2), "the width by weights"),
        (lambda d: d["input_range"].update(upper=1), "leave the certified range"),
        (lambda d: d["input_range"].update(bit_width=1), "the width by type"),
        (lambda d: d["worst_witness"].update(upper=[1, 2]), "no input of the layer"),
        (lambda d: d["worst_witness"].update(upper=[15, 0, 14]), "witness reaches"),
        (lambda d: d["worst_witness"].update(lower=[0, 16, 0]), "no input of the layer"),
    ],
)
def test_forged_claims_are_named(change: Callable[[Any], None], sentence: str) -> None:
    (found,) = differences(forged(change), certify_layers([layer()]))[:1]
    assert sentence in found


@pytest.mark.parametrize(("field", "value"), [("upper", []), ("bit_width", "4"), ("signed", 0), ("source", 1)])
def test_fields_of_other_types_are_refused(field: str, value: Any) -> None:
    with pytest.raises(CertificateError, match="cannot be read"):
        forged(lambda d: d["input_range"].update({field: value}))


def test_assumptions_decide_until_they_are_accepted() -> None:
    claim, accepted = Assumption("inputs are small", False), Assumption("inputs are small", True)
    assert not certify_layers([layer()], (), [claim]).holds
    assert certify_layers([layer()], (), [accepted]).holds
    assert certify_layers([layer(accumulator_bit_width=None)], (), [claim]).holds
    certificate = certify_layers([layer()], (), [claim])
    assert Certificate.from_json(certificate.to_json()) == certificate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        '{"format": "brevitas_a2q.certificate", "version": 1}',
        '{"format": "brevitas_a2q.certificate", "version": 1, "layers": [{}], "uncovered": []}',
        '{"format": "brevitas_a2q.certificate", "version": 1, "layers": [1], "uncovered": []}',
        '{"format": "brevitas_a2q.certificate", "version": 2, "layers": [], "uncovered": []}',
    ],
)
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(CertificateError):
        Certificate.from_json(text)


def test_a_file_keeps_its_own_certificate() -> None:
    assert differences(certify_layers([layer()]), certify_layers([layer()])) == ()


def test_narrower_inputs_keep_a_claim_and_wider_ones_break_it() -> None:
    claimed = certify_layers([layer()])
    assert differences(claimed, certify_layers([layer_with_inputs(14)])) == ()
    broken = differences(claimed, certify_layers([layer_with_inputs(16)]))
    assert broken == (
        "layer conv: its sums or inputs leave the certified range (its inputs are [0, 16], certified [0, 15])",
    )


def layer_with_inputs(high: int) -> DotProductLayer:
    return replace(layer(), x_hi=np.array([[high]]))


def test_each_broken_claim_is_named() -> None:
    claimed = certify_layers([layer()])
    others = replace(layer(), weights=layer().weights + 1)
    assert differences(claimed, certify_layers([others])) == ("layer conv: its integer weights are others",)
    moved = replace(layer(), bias=np.array([4, -3]))
    assert differences(claimed, certify_layers([moved])) == ("layer conv: its integer bias is another",)
    narrow = certify_layers([layer(accumulator_bit_width=7)])
    assert differences(claimed, narrow) == ("layer conv: the target width is 7, certified 8",)
    two = certify_layers([layer(), layer("more")])
    assert differences(claimed, two) == ("layer more: not in the certificate",)
    assert differences(two, claimed) == ("layer more: not in the file",)


def test_other_names_are_matched_by_order() -> None:
    model, file = certify_layers([layer("a"), layer("b", tile=2)]), certify_layers([layer("/a"), layer("/b", tile=2)])
    assert differences(model, file) == ()
    assert differences(model, certify_layers([layer("/a")])) == ("found 1 layers in the file; the certificate has 2",)
