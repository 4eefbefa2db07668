"""A certificate as a figure and a page: what each layer's worst input needs, beside what it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from brevitas_a2q.report._figures import BLACK, GREEN, RED, SKY, Picture, bare, label
from brevitas_a2q.report._html import render
from brevitas_a2q.verify._certificate import Certificate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["certificate_figure", "certificate_page"]

_MOST_NAMES: Final = 60


def certificate_figure(certificate: Certificate, title: str) -> Figure:
    """Bits that each layer needs: by its worst input, by its data types, and the target that it has to keep.

    Args:
        certificate: What was proven.
        title: Title of the figure.
    """
    from matplotlib.figure import Figure

    layers = certificate.layers
    figure = Figure(figsize=(9, max(2.6, min(24.0, 1.4 + 0.28 * len(layers)))), layout="constrained")
    axes = figure.subplots()
    places = range(len(layers))
    colors = [SKY if layer.accumulator_bit_width is None else GREEN if layer.holds else RED for layer in layers]
    axes.barh(places, [layer.required_bit_width for layer in layers], color=colors, height=0.7, label="worst input")
    axes.plot([layer.data_type_bit_width for layer in layers], places, "o", color=BLACK, ms=4, label="data types")
    targets = [(layer.accumulator_bit_width, place) for place, layer in zip(places, layers, strict=True)]
    kept = [(bits, place) for bits, place in targets if bits is not None]
    if kept:
        axes.plot(*zip(*kept, strict=True), "|", color=BLACK, markersize=14, markeredgewidth=2, label="target")
    names = [label(layer.name, 32) if len(layers) <= _MOST_NAMES else "" for layer in layers]
    axes.set_yticks(places, names, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("accumulator width in bits")
    axes.legend(fontsize=9, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    figure.suptitle(label(title, 90))
    bare(axes)
    return figure


def certificate_page(certificate: Certificate, verdict: str, title: str, picture: Picture) -> str:
    """What ``brevitas-a2q certify`` prints, with the figure.

    Args:
        certificate: What was proven.
        verdict: Of it, in one sentence.
        title: What was certified.
        picture: of :func:`certificate_figure`.
    """
    gaps = [line.partition(": ") for line in certificate.uncovered]
    uncovered = [(name, reason) for name, _, reason in gaps]
    shown = {"certificate": certificate, "uncovered": uncovered, "verdict": verdict, "title": title}
    return render("certificate.html.j2", **shown, picture=picture)
