"""Certificates as JSON, read back and re-checked against a file; ``docs/certificate.md`` has the format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from brevitas_a2q.errors import CertificateError
from brevitas_a2q.verify.certificate import Certificate, InputRange, LayerCertificate, Layers
from brevitas_a2q.verify.sums import SumRange

__all__ = ["FORMAT", "VERSION", "certificate_document", "certificate_json", "differences", "read_certificate"]

FORMAT: Final = "brevitas_a2q.certificate"
VERSION: Final = 1


def certificate_document(certificate: Certificate) -> dict[str, Any]:
    """The JSON object of a certificate."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "holds": certificate.holds,
        "targets": certificate.targets,
        "layers": [_layer_document(layer) for layer in certificate.layers],
        "uncovered": list(certificate.uncovered),
    }


def certificate_json(certificate: Certificate) -> str:
    """A certificate as JSON, one line for each field of a layer."""
    document = certificate_document(certificate)
    layers = [
        "  {\n" + ",\n".join(f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in layer.items()) + "\n  }"
        for layer in document.pop("layers")
    ]
    head = "".join(f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in document.items())
    return "{\n" + head + ' "layers": [\n' + ",\n".join(layers) + "\n ]\n}\n"


def read_certificate(source: str | Mapping[str, Any], where: str = "certificate") -> Certificate:
    """The certificate in a JSON text or object; ``where`` names it in errors.

    Everything that follows from the channels' ranges (widths, margins, ``holds``) is computed again and must agree.

    Raises:
        CertificateError: Not a certificate, of another version, or at odds with itself.
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
        certificate = Certificate(
            Layers(_read_layer(layer) for layer in document["layers"]), tuple(document["uncovered"])
        )
        agrees = certificate_document(certificate) == document
    except CertificateError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        reason = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise CertificateError(f"cannot be read ({reason})", where=where, expected=f"JSON of {FORMAT}") from error
    if not agrees:
        raise CertificateError(
            "contradicts itself",
            where=where,
            expected="widths, margins and `holds` that follow from the ranges of its channels",
            remedy="do not trust it; certify the file again",
        )
    return certificate


def differences(claimed: Certificate, found: Certificate) -> tuple[str, ...]:
    """What a certificate claims that a file does not keep, one sentence each; empty if it keeps all.

    Layers are matched by name, or by order where no name occurs in both (a model and its exported file name layers
    differently). A claim is kept if weights, bias and target are the same and every channel's sum, computed from the
    file, stays inside the claimed range.
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
    broken = [
        f"{name} is {getattr(found, field)}, certified {getattr(claim, field)}"
        for field, name in (("accumulator_bit_width", "the target width"), ("tile", "the tile"))
        if getattr(claim, field) != getattr(found, field)
    ]
    if not broken and not (_inside(claim.sums, found.sums) and _inside(claim.outer, found.outer)):
        broken.append(
            f"its sums leave the certified range (its inputs are [{found.input_range.lower}, "
            f"{found.input_range.upper}], certified [{claim.input_range.lower}, {claim.input_range.upper}])"
        )
    return broken


def _inside(claim: SumRange | None, found: SumRange | None) -> bool:
    if claim is None or found is None:
        return claim is found
    low = all(here <= there for here, there in zip(claim.lower, found.lower, strict=True))
    high = all(here >= there for here, there in zip(claim.upper, found.upper, strict=True))
    return low and high and claim.accumulator_bit_width == found.accumulator_bit_width


def _layer_document(layer: LayerCertificate) -> dict[str, Any]:
    return {
        "name": layer.name,
        "op": layer.op,
        "inputs": layer.inputs,
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
        tile=None if layer["tile"] is None else _integer(layer["tile"]),
        sums=_read_sums(layer["channels"]),
        outer=None if layer["outer"] is None else _read_sums(layer["outer"]),
        data_type_bit_width=_integer(layer["data_type_bit_width"]),
        weights_bit_width=_integer(layer["weights_bit_width"]),
        input_range=InputRange(**layer["input_range"]),
        weight_bit_width=_integer(layer["weight_bit_width"]),
        weights_sha256=_text(layer["weights_sha256"]),
        bias_sha256=None if layer["bias_sha256"] is None else _text(layer["bias_sha256"]),
        worst_witness={"lower": _integers(witnesses["lower"]), "upper": _integers(witnesses["upper"])},
        notes=tuple(_text(note) for note in layer["notes"]),
    )


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
