"""The certificate: for every layer and channel the exact worst case of its accumulator, against its target width.

One computation, on integers, whatever the layers were read from: a Brevitas model or a QONNX file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brevitas_a2q._ir.dot_product import DotProductLayer
from brevitas_a2q._ir.network import Assumption
from brevitas_a2q.errors import ModelError
from brevitas_a2q.verify._document import certificate_document, contradiction, read_document
from brevitas_a2q.verify._layer_certificate import Layers, certify_layer

__all__ = ["Certificate", "certify_layers", "read_certificate"]


@dataclass(frozen=True)
class Certificate:
    """Every layer with integer dot products; ``uncovered`` says what it is silent about, as ``"name: reason"``.

    ``assumptions`` is what the ranges rest on besides the network's own arithmetic. One that only the file vouches for
    leaves open whether targets hold, so ``holds`` is false until the caller accepts it.
    """

    layers: Layers
    uncovered: tuple[str, ...] = ()
    assumptions: tuple[Assumption, ...] = ()

    @property
    def holds(self) -> bool:
        """True if no layer with a target can overflow it. Layers without a target do not count; see ``targets``."""
        return self.fits and not (self.targets and self.unaccepted)

    @property
    def fits(self) -> bool:
        """Whether the sums of all layers fit their targets, if every assumption is true."""
        return all(layer.holds for layer in self.layers)

    @property
    def unaccepted(self) -> tuple[Assumption, ...]:
        """Assumptions that ranges rest on and that nobody but the file itself vouches for."""
        return tuple(a for a in self.assumptions if a.used and not a.accepted)

    @property
    def targets(self) -> int:
        """Number of layers with a target width."""
        return sum(layer.accumulator_bit_width is not None for layer in self.layers)

    def __str__(self) -> str:
        """One line per layer, what is not covered and what is assumed, and whether all hold."""
        lines = [
            f"{layer.name}: K = {layer.inputs}, sums in [{layer.lower}, {layer.upper}], needs "
            f"{layer.required_bit_width} bits of {layer.accumulator_bit_width or 'an accumulator without a target'}"
            for layer in self.layers
        ]
        for line in self.uncovered:
            name, _, reason = line.partition(": ")
            lines.append(f"{name}: not covered: {reason}")
        return "\n".join([*lines, *map(str, self.assumptions), "holds" if self.holds else "does not hold"])

    def to_json(self) -> dict[str, Any]:
        """The certificate as one JSON object; ``docs/certificate.md`` describes it."""
        return certificate_document(self.holds, self.targets, self.layers, self.uncovered, self.assumptions)

    @classmethod
    def from_json(cls, document: str | Mapping[str, Any]) -> Certificate:
        """The certificate in a JSON text or object, as :meth:`to_json` wrote it.

        Raises:
            CertificateError: Not a certificate, or of another version, or at odds with itself.
        """
        return read_certificate(document)


def certify_layers(
    layers: Iterable[DotProductLayer], uncovered: Sequence[str] = (), assumptions: Sequence[Assumption] = ()
) -> Certificate:
    """The exact worst case of every layer.

    Args:
        layers: Integer layers, in the network's order.
        uncovered: What stays outside the certificate, each as ``"name: reason"``.
        assumptions: What the layers' ranges rest on.

    Raises:
        ModelError: Two layers have one name, or there are none.

    Example:
        >>> import numpy as np
        >>> weights = np.array([[3, -2], [1, 1]])
        >>> layer = DotProductLayer("fc", "MatMul", weights, np.array(0), np.array(15), 4, False, 3, None, 7)
        >>> worst = certify_layers([layer]).layers["fc"]
        >>> worst.lower, worst.upper, worst.required_bit_width, worst.holds, worst.witness().tolist()
        (-30, 45, 7, True, [15, 0])
    """
    certified = Layers(certify_layer(layer) for layer in layers)
    names = [layer.name for layer in certified]
    if not names:
        raise ModelError("found no layer with integer dot products", expected="at least one quantized layer")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ModelError("found two layers of this name", where=f"layer {twice}", expected="one")
    return Certificate(certified, tuple(uncovered), tuple(assumptions))


def read_certificate(source: str | Mapping[str, Any], where: str = "certificate") -> Certificate:
    """The certificate in a JSON text or object; ``where`` names it in errors.

    Everything that follows from the channels' ranges (widths, margins, ``holds``) is computed again and must agree.

    Raises:
        CertificateError: Not a certificate, of another version, or at odds with itself.
    """
    document, layers, uncovered, assumptions = read_document(source, where)
    certificate = Certificate(layers, uncovered, assumptions)
    if certificate.to_json() != document:
        raise contradiction(where)
    return certificate
