"""Certificates as JSON, and read back; ``docs/certificate.md`` has the format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from brevitas_a2q._ir.network import Assumption
from brevitas_a2q.errors import CertificateError
from brevitas_a2q.verify._layer_certificate import InputRange, LayerCertificate, Layers
from brevitas_a2q.verify._sums import SumRange

if TYPE_CHECKING:
    from brevitas_a2q.verify._certificate import Certificate

__all__ = ["FORMAT", "VERSION", "certificate_document", "certificate_json", "contradiction", "digest", "read_document"]

FORMAT: Final = "brevitas_a2q.certificate"
VERSION: Final = 3


def certificate_document(
    holds: bool, targets: int, layers: Layers, uncovered: Sequence[str], assumptions: Sequence[Assumption]
) -> dict[str, Any]:
    """The JSON object of a certificate; ``sha256`` is over all its other fields."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "holds": holds,
        "targets": targets,
        "layers": [_layer_document(layer) for layer in layers],
        "uncovered": list(uncovered),
        "assumptions": [asdict(assumption) for assumption in assumptions],
    }
    return {**document, "sha256": digest(document)}


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of every field of a document but ``sha256``, as JSON with sorted keys and no spaces."""
    fields = {key: value for key, value in document.items() if key != "sha256"}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def certificate_json(certificate: Certificate) -> str:
    """A certificate as JSON, one line for each field of a layer."""
    document = certificate.to_json()
    layers = [
        "  {\n" + ",\n".join(f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in layer.items()) + "\n  }"
        for layer in document.pop("layers")
    ]
    head = "".join(f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in document.items())
    return "{\n" + head + ' "layers": [\n' + ",\n".join(layers) + "\n ]\n}\n"


def read_document(
    source: str | Mapping[str, Any], where: str
) -> tuple[dict[str, Any], Layers, tuple[str, ...], tuple[Assumption, ...]]:
    """A certificate's JSON object, its layers, what it does not cover, and its assumptions.

    Raises:
        CertificateError: Not a certificate, of another version, or changed after it was written.
    """
    try:
        document = json.loads(source) if isinstance(source, str) else dict(source)
        if document["format"] != FORMAT or document["version"] != VERSION:
            raise CertificateError(
                f"found format {document['format']!r} version {document['version']!r}",
                where=where,
                expected=f"{FORMAT!r} version {VERSION}",
                remedy="write it again with `brevitas-a2q certify MODEL.onnx --output CERTIFICATE.json`",
            )
        if document["sha256"] != digest(document):
            raise CertificateError(
                "was changed after it was written", where=where, expected="the fields that its sha256 is over"
            )
        layers = Layers(_read_layer(layer) for layer in document["layers"])
        uncovered = tuple(_text(line) for line in document["uncovered"])
        return document, layers, uncovered, tuple(_read_assumption(entry) for entry in document["assumptions"])
    except CertificateError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        reason = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise CertificateError(f"cannot be read ({reason})", where=where, expected=f"JSON of {FORMAT}") from error


def contradiction(where: str) -> CertificateError:
    """The error for a certificate whose fields do not follow from its channels; to be raised by the caller."""
    return CertificateError(
        "contradicts itself",
        where=where,
        expected="widths, margins and `holds` that follow from the ranges of its channels",
        remedy="do not trust it; certify the file again",
    )


def _layer_document(layer: LayerCertificate) -> dict[str, Any]:
    return {
        "name": layer.name,
        "op": layer.op,
        "inputs": layer.inputs,
        "order": layer.order,
        "tile": layer.tile,
        "accumulator_bit_width": layer.accumulator_bit_width,
        "required_bit_width": layer.required_bit_width,
        "data_type_bit_width": layer.data_type_bit_width,
        "weights_bit_width": layer.weights_bit_width,
        "margin_bits": layer.margin_bits,
        "holds": layer.holds,
        "worst_channel": layer.sums.worst_channel,
        "lower": layer.lower,
        "upper": layer.upper,
        "worst_witness": {end: list(values) for end, values in layer.worst_witness.items()},
        "input_range": asdict(layer.input_range),
        "weight_bit_width": layer.weight_bit_width,
        "weights_sha256": layer.weights_sha256,
        "bias_sha256": layer.bias_sha256,
        "channels": _sums_document(layer.sums),
        "outer": None if layer.outer is None else _sums_document(layer.outer),
        "zero_point": layer.zero_point,
        "guards": list(layer.guards),
        "notes": list(layer.notes),
    }


def _sums_document(sums: SumRange) -> dict[str, Any]:
    return {
        "accumulator_bit_width": sums.accumulator_bit_width,
        "required_bit_width": sums.required_bit_width,
        "lower": list(sums.lower),
        "upper": list(sums.upper),
    }


def _read_layer(layer: dict[str, Any]) -> LayerCertificate:
    witnesses = layer["worst_witness"]
    return LayerCertificate(
        name=_text(layer["name"]),
        op=_text(layer["op"]),
        inputs=_integer(layer["inputs"]),
        order=_text(layer["order"]),
        tile=None if layer["tile"] is None else _integer(layer["tile"]),
        sums=_read_sums(layer["channels"]),
        outer=None if layer["outer"] is None else _read_sums(layer["outer"]),
        data_type_bit_width=_integer(layer["data_type_bit_width"]),
        weights_bit_width=_integer(layer["weights_bit_width"]),
        input_range=_read_input_range(layer["input_range"]),
        weight_bit_width=_integer(layer["weight_bit_width"]),
        weights_sha256=_text(layer["weights_sha256"]),
        bias_sha256=None if layer["bias_sha256"] is None else _text(layer["bias_sha256"]),
        worst_witness={"lower": _integers(witnesses["lower"]), "upper": _integers(witnesses["upper"])},
        zero_point=None if layer["zero_point"] is None else _text(layer["zero_point"]),
        guards=tuple(_text(way) for way in layer["guards"]),
        notes=tuple(_text(note) for note in layer["notes"]),
    )


def _read_input_range(fields: dict[str, Any]) -> InputRange:
    digest_, signed = fields["sha256"], fields["signed"]
    if type(signed) is not bool or set(fields) != {"lower", "upper", "bit_width", "signed", "source", "sha256"}:
        raise ValueError(f"found {fields!r} where a range of inputs belongs")
    return InputRange(
        lower=_integer(fields["lower"]),
        upper=_integer(fields["upper"]),
        bit_width=_integer(fields["bit_width"]),
        signed=signed,
        source=_text(fields["source"]),
        sha256=None if digest_ is None else _text(digest_),
    )


def _read_assumption(fields: dict[str, Any]) -> Assumption:
    if type(fields["accepted"]) is not bool or type(fields["used"]) is not bool:
        raise ValueError(f"found {fields!r} where an assumption belongs")
    return Assumption(_text(fields["text"]), fields["accepted"], fields["used"])


def _read_sums(sums: dict[str, Any]) -> SumRange:
    target = sums["accumulator_bit_width"]
    ends = _integers(sums["lower"]), _integers(sums["upper"])
    if not ends[0] or len(ends[0]) != len(ends[1]) or any(low > high for low, high in zip(*ends, strict=True)):
        raise ValueError("found ranges of channels without a lower and a higher end each")
    return SumRange(*ends, None if target is None else _integer(target))


def _integers(values: list[Any]) -> tuple[int, ...]:
    return tuple(_integer(value) for value in values)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"found {value!r} where an integer belongs")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"found {value!r} where a text belongs")
    return value
