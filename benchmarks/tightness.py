"""How much of the accumulator budget each method uses, what it costs in weight error, and how many weights it zeroes.

For every cell (dot-product size K, weight bits M, input bits N, accumulator bits P, sign of inputs, distribution of
weights) it quantizes the same 16 channels by A2Q and A2Q+, each plain, with EP-init, and with EP-init at the scale of
least error, and by projection at the same scales. Errors are relative: ``||s q - w|| / ||w||``.

Usage: python benchmarks/tightness.py [--output-dir benchmarks/results]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from brevitas_a2q.quant._euclidean import project_rows
from brevitas_a2q.quant._functional import (
    Budget,
    a2q_plus_quantize,
    a2q_quantize,
    budget_use,
    make_budget,
    projected_quantize,
    sign_sums,
)

CHANNELS = 16
OCTAVES = 6
METHODS = {
    "A2Q": ("a2q", False, False),
    "A2Q + EP-init": ("a2q", True, False),
    "A2Q + EP-init, searched scale": ("a2q", True, True),
    "A2Q+": ("a2q+", False, False),
    "A2Q+ + EP-init": ("a2q+", True, False),
    "A2Q+ + EP-init, searched scale": ("a2q+", True, True),
    "projection": ("projected", False, False),
    "projection, searched scale": ("projected", False, True),
}
Cell = dict[str, int | bool | str]


def cells() -> Iterator[Cell]:
    """Cells of the comparison; the first is the one in which both published methods start all-zero."""
    for length, weight_bits, input_bits, widths in (
        (576, 4, 4, (11, 9, 10, 12, 13, 14, 16)),
        (576, 8, 8, (14, 16, 18, 20)),
        (9, 4, 4, (8, 10)),
        (4608, 4, 4, (12,)),
        (4608, 8, 8, (18,)),
    ):
        for bits in widths:
            for signed in (False, True):
                for weights in ("normal", "laplace", "skewed"):
                    yield {
                        "K": length,
                        "M": weight_bits,
                        "N": input_bits,
                        "P": bits,
                        "signed": signed,
                        "weights": weights,
                    }


def sample(length: int, weights: str) -> Tensor:
    """Seeded float weights ``(CHANNELS, K)``."""
    generator = torch.Generator().manual_seed(length)
    normal = torch.randn(CHANNELS, length, generator=generator)
    if weights == "laplace":
        return normal.sign() * -torch.rand(CHANNELS, length, generator=generator).clamp_min(1e-7).log()
    return normal + (0.5 if weights == "skewed" else 0.0)


def quantizer(method: str, ep_init: bool, w: Tensor, budget: Budget, q_max: int) -> Callable[[Tensor], Tensor]:
    """The dequantized weights of a method as a function of the scale."""

    def quantize(scale: Tensor) -> Tensor:
        if method == "projected":
            return projected_quantize(w, scale, budget, -q_max, q_max)
        centred = method == "a2q+"
        v = project_rows(w, scale, budget, centred, [w.shape[1]])[0].to(w.dtype) if ep_init else w
        norm = (v - v.mean(1, keepdim=True) if centred else v).abs().sum(1, keepdim=True).log2()
        run = a2q_plus_quantize if centred else a2q_quantize
        return run(v, scale, norm, budget, -q_max, q_max)

    return quantize


def search_scale(quantize: Callable[[Tensor], Tensor], w: Tensor, start: Tensor) -> Tensor:
    """Scale of least squared error of each channel, on a grid of thirds of an octave."""
    best, least = start, torch.full_like(start, torch.inf)
    for step in range(-3, 3 * OCTAVES + 1):
        scale = start * 2.0 ** (step / 3)
        error = (quantize(scale) - w).square().sum(1, keepdim=True)
        best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    return best


def measure(cell: Cell) -> dict[str, dict[str, float]]:
    """Use, relative error and share of zeros of every method in a cell, means over channels."""
    w = sample(int(cell["K"]), str(cell["weights"]))
    q_max = 2 ** (int(cell["M"]) - 1) - 1
    budget = make_budget(int(cell["P"]), int(cell["N"]), bool(cell["signed"]))
    largest = w.abs().amax(1, keepdim=True) / q_max
    found = {}
    for name, (method, ep_init, searched) in METHODS.items():
        quantize = quantizer(method, ep_init, w, budget, q_max)
        scale = search_scale(quantize, w, largest) if searched else largest
        out = quantize(scale)
        codes = (out.double() / scale.double()).round()
        if not bool(budget.holds(*sign_sums(codes)).all()):
            raise AssertionError(f"{name} overflows in {cell}")
        found[name] = {
            "use": round(float(budget_use(codes, budget).mean()), 4),
            "error": round(float(((out - w).norm(dim=1) / w.norm(dim=1)).mean()), 4),
            "zeros": round(float((codes == 0).double().mean()), 4),
        }
    return found


def table(results: list[dict[str, object]]) -> str:
    """Markdown: one row per cell and method group, use / error / zeros."""
    lines = ["| K | M | N | P | inputs | weights | " + " | ".join(METHODS) + " |", "|---" * (6 + len(METHODS)) + "|"]
    for row in results:
        cell, found = row["cell"], row["methods"]
        assert isinstance(cell, dict)
        assert isinstance(found, dict)
        head = [cell["K"], cell["M"], cell["N"], cell["P"], "signed" if cell["signed"] else "unsigned", cell["weights"]]
        body = [f"{m['use']:.2f} / {m['error']:.3f} / {m['zeros']:.2f}" for m in found.values()]
        lines.append("| " + " | ".join(str(value) for value in [*head, *body]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure all cells, write JSON and a table, and say where the projection loses, if anywhere."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output-dir", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = [{"cell": cell, "methods": measure(cell)} for cell in cells()]
    losses = 0
    for row in results:
        for ours, theirs in (("projection", "A2Q+ + EP-init"),
                             ("projection, searched scale", "A2Q+ + EP-init, searched scale")):  # fmt: skip
            if row["methods"][ours]["error"] > row["methods"][theirs]["error"]:
                losses += 1
                print(f"{ours} is worse than {theirs} in {row['cell']}")
    summary = (
        f"{len(results)} cells; the projection is worse than A2Q+ + EP-init at the same kind of scale in {losses}."
    )
    print(summary)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    (options.output_dir / "tightness.json").write_text(json.dumps(results, indent=0) + "\n")
    header = f"# Tightness\n\n{summary} Each entry: budget use / relative weight error / share of zeros.\n\n"
    (options.output_dir / "tightness.md").write_text(header + table(results) + "\n")


if __name__ == "__main__":
    main()
