"""The steps of the quickstart, each a few calls of the library."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from brevitas_a2q import __version__, certify, export_qonnx, hw
from brevitas_a2q._cli.steps import Steps
from brevitas_a2q._files import write_atomically
from brevitas_a2q.data import ImageData
from brevitas_a2q.data._digits import load_digits
from brevitas_a2q.hw._target import Target
from brevitas_a2q.models import QuantSpec, build_model, load_float_weights
from brevitas_a2q.report._figures import image, picture
from brevitas_a2q.report._overview import POLICY_NAMES, overview, page
from brevitas_a2q.report._story import Story, TrainingRun
from brevitas_a2q.train import Recipe, calibrate, fit
from brevitas_a2q.train._loop import EpochRecord, History
from brevitas_a2q.train._seeds import seed_everything
from brevitas_a2q.verify._torch_model import layers_of

__all__ = ["FILES", "MARK", "POLICIES", "quickstart"]

POLICIES = ("32", "data-type", "exact", "trained")
FILES = {
    "network": "network.onnx",
    "unconstrained": "unconstrained.onnx",
    "certificate": "certificate.json",
    "picture": "report.png",
    "page": "report.html",
    "results": "results.json",
}
MARK = ".quickstart"  # says while it runs that the files are its own


def quickstart(out: Path, spec: QuantSpec, recipe: Recipe, seed: int, target: Target, steps: Steps) -> Story:
    """Run every step and write :data:`FILES` into the folder ``out``."""
    data = load_digits()
    network = out / FILES["network"]
    with steps.step("Train"):
        steps.say(f"{len(data.x_train)} training and {len(data.x_test)} test images, seed {seed}")
        runs, model, unconstrained = train_all(data, spec, recipe, seed, steps)
    with steps.step("Certify"):
        _say_certificate(certify(model, data.x_test[:8]).to_json(), steps)
    with steps.step("Export"):
        checks = export_qonnx(model, data.x_test[:1], network).checks
        steps.say(f"{network}: " + "; ".join(f"{what}: {value}" for what, value in checks.items()))
        certificate = certify(network).to_json()
        export_qonnx(unconstrained, data.x_test[:1], out / FILES["unconstrained"])
        write_atomically(out / FILES["certificate"], json.dumps(certificate, indent=2))
        steps.say(f"{out / FILES['certificate']}: the same proof, from the file alone")
    with steps.step("Estimate"):
        estimates = _estimate(network, out / FILES["unconstrained"], target, steps)
    story = Story(
        title=f"Handwritten digits with {spec.accumulator_bit_width}-bit accumulators",
        settings={**asdict(spec), **asdict(recipe), "seed": seed, **asdict(target)},
        versions=_versions(),
        runs=runs,
        chosen=runs[-1].name,
        certificate=certificate,
        checks=checks,
        estimates=estimates,
        files=FILES,
        seconds=dict(steps.seconds),
    )
    with steps.step("Report"):
        figure = overview(story)
        write_atomically(out / FILES["picture"], image(figure))
        write_atomically(out / FILES["page"], page(story, picture(figure)))
        write_atomically(out / FILES["results"], json.dumps(story.to_json(), indent=2))
        steps.say(", ".join(str(out / FILES[name]) for name in ("page", "picture", "results")))
    return story


def train_all(
    data: ImageData, spec: QuantSpec, recipe: Recipe, seed: int, steps: Steps
) -> tuple[tuple[TrainingRun, ...], nn.Module, nn.Module]:
    """Train in float, then quantized by several methods from the same float weights; the last is ``spec``'s own.

    Returns:
        The runs, the network of the last one, and the one without a bound on its sums.
    """
    seed_everything(seed)
    model = build_model("digits-cnn")
    runs = [_run("float", "none", None, _fit(model, data, recipe, seed, "float", steps), None)]
    start, unconstrained = model.state_dict(), model
    for method in dict.fromkeys(("none", "a2q", spec.method)):
        p = None if method == "none" else spec.accumulator_bit_width
        name = f"W{spec.weight_bit_width}A{spec.activation_bit_width}" + (f", {method}, P={p}" if p else "")
        seed_everything(seed)
        model = build_model("digits-cnn", replace(spec, method=method))
        load_float_weights(model, start)
        calibrate(model, data.x_train[:512])
        history = _fit(model, data, recipe, seed, name, steps)
        runs.append(_run(name, method, p, history, _zero_weights(model, data)))
        if method == "none":
            unconstrained = model
    return tuple(runs), model, unconstrained


def _fit(model: nn.Module, data: ImageData, recipe: Recipe, seed: int, name: str, steps: Steps) -> History:
    with steps.bar(name, recipe.epochs) as advance:

        def show(record: EpochRecord) -> None:
            advance(f"loss {record.loss:.3f}, test accuracy {100 * record.test_accuracy:.1f} %")

        history = fit(model, data, recipe, seed=seed, on_epoch=show)
    steps.say(f"{name}: test accuracy {100 * history.last:.1f} % (best epoch {100 * history.best:.1f} %)")
    return history


def _run(name: str, method: str, p: int | None, history: History, zero_weights: float | None) -> TrainingRun:
    curve = tuple(record.test_accuracy for record in history.epochs)
    return TrainingRun(name, method, p, history.last, history.best, curve, zero_weights)


def _zero_weights(model: nn.Module, data: ImageData) -> float:
    """Share of zeros among the integer weights of the hidden layers."""
    hidden = layers_of(model, data.x_test[:8])[1:-1]
    return float(np.mean(np.concatenate([layer.weights.ravel() for layer in hidden]) == 0))


def _say_certificate(certificate: Mapping[str, Any], steps: Steps) -> None:
    for layer in certificate["layers"]:
        target = layer["accumulator_bit_width"]
        steps.say(
            f"{layer['name']}: K = {layer['inputs']}, worst sum [{layer['lower']}, {layer['upper']}] needs "
            f"{layer['required_bit_width']} bits of "
            + ("an unconstrained accumulator" if target is None else f"{target}")
        )
    steps.say("holds: no input can overflow" if certificate["holds"] else "DOES NOT HOLD")


def _estimate(network: Path, unconstrained: Path, target: Target, steps: Steps) -> dict[str, dict[str, Any]]:
    """The trained network under each policy; the exact range is that of the network that was trained without a bound.

    Of the trained one's own weights it is the trained width again, and would say that training buys nothing. All are
    folded as the trained one is best folded: folded each for itself, one may trade block RAM for LUTs where another
    does not, and LUTs alone could not be compared.
    """
    aim: dict[str, Any] = {"part": target.part, "clock_mhz": target.clock_mhz}
    best = hw.estimate(network, **aim, target_fps=target.target_fps, accumulator="trained")
    foldings = {unit: replace(folding, fifo_depths=None) for unit, folding in best.foldings.items()}
    estimates = {}
    for policy in POLICIES:
        file = unconstrained if policy == "exact" else network
        estimate = hw.estimate(file, **aim, target_fps=None, accumulator=policy, foldings=foldings)
        estimates[policy] = estimate.to_json()
        total = estimates[policy]["total"]
        steps.say(
            f"{POLICY_NAMES[policy]}: {total['lut']:,} LUT, {total['bram18']} BRAM18, {total['dsp']} DSP, "
            f"{estimates[policy]['fps']:,.0f} frames per second"
        )
    return estimates


def _versions() -> dict[str, str]:
    packages = ("torch", "brevitas", "qonnx", "onnx")
    return {"brevitas_a2q": __version__, "Python": platform.python_version()} | {
        name: metadata.version(name) for name in packages
    }
