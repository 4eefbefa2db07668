"""Whole public builds of FINN beside our estimate of the same designs (``--target finn``).

The networks are rebuilt from Brevitas with random weights, folded by the builds' own folding files and costed on their
part. What Vivado counted includes a shell (processor interconnect, DMA, instrumentation), the same for all of one flow:
it is taken from the builds in ``CALIBRATED`` and stated apart; the others judge. Random weights change neither folding
nor widths, but contents of memories. All builds are of finn-plus: its graphs (``--finn-version plus``), whose max pools
are windows and pools, its RTL, and its files' depths of FIFOs. No coefficient was fitted to these totals, but what is
in the designs was looked for where they were missed: registers between the adders of RTL matrix units, shift registers
of weight streams, thresholds kept out of block RAM by ``depth_trigger_bram``, FIFOs on both sides of width converters.

    python benchmarks/published_builds.py MODELS    # results/published_builds.json and .md

MODELS is the folder ``models`` of finn-plus (github.com/eki-project/finn-plus) at the builds' commit, d638cd0.
"""

from __future__ import annotations

import configparser
import json
import math
import statistics
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from brevitas_a2q._files import write_atomically
from brevitas_a2q.hw import BuildOptions, vivado_unit
from brevitas_a2q.hw._estimation import estimate_graph
from brevitas_a2q.hw._finn.folding_reader import interleaved, read_foldings
from brevitas_a2q.hw._finn.lowering import lowered
from brevitas_a2q.hw._frontend import read_graph

HERE = Path(__file__).resolve().parent
PUBLISHED, RESULTS = HERE / "published", HERE / "results"
PART, CLOCK_MHZ = "xczu28dr", 100.0
_LARGE = 1 << 16  # numbers in an image
VERSION: Final = "dev"  # whose graphs and RTL finn-plus has
ADDED = ("LabelSelect_hls_0", "ChannelwiseOp_hls_0", "Reshape_rtl_0")  # by FINN's build
CALIBRATED = ("tfc-w1a1", "cnv-w1a1")  # these say what the shell takes


@dataclass(frozen=True)
class Build:
    """One published build: its number in ``builds.json``, its network, and what FINN keeps in front of it."""

    name: str
    number: str
    network: Callable[[], Any]
    shape: tuple[int, ...]
    folding: str
    standalone: bool = False
    quantizer: str = ""  # the input's quantizer, which FINN builds as a unit
    apart: tuple[str, ...] = ()  # nodes of the file that our graph has another kind for


def _pynq(name: str, classes: int | None = None) -> Callable[[], Any]:
    def network() -> Any:
        from brevitas_examples.bnn_pynq.models import get_model_cfg, model_impl

        config = get_model_cfg(name)
        if classes is not None:
            config.set("MODEL", "NUM_CLASSES", str(classes))
        return model_impl[config.get("MODEL", "ARCH")](config)

    return network


def _radio() -> Any:
    """VGG10 of the RadioML challenge: seven one-dimensional convolutions of 32 channels, three dense layers."""
    import brevitas.nn as qnn
    from brevitas.quant import Int8ActPerTensorFloat
    from torch import nn

    layers: list[nn.Module] = [qnn.QuantIdentity(Int8ActPerTensorFloat, bit_width=4, return_quant_tensor=True)]

    def block(layer: nn.Module, norm: nn.Module) -> list[nn.Module]:
        return [layer, norm, qnn.QuantReLU(bit_width=4, return_quant_tensor=True)]

    for channels in (2, *[32] * 6):
        conv = qnn.QuantConv1d(channels, 32, 3, padding=1, bias=False, weight_bit_width=4)
        layers += [*block(conv, nn.BatchNorm1d(32)), nn.MaxPool1d(2)]
    layers.append(nn.Flatten())
    for before in (256, 128):
        dense = qnn.QuantLinear(before, 128, bias=False, weight_bit_width=4)
        layers += block(dense, nn.BatchNorm1d(128))
    return nn.Sequential(*layers, qnn.QuantLinear(128, 24, bias=True, weight_bit_width=4))


def _mobilenet() -> Any:
    """MobileNetV1 of Brevitas' examples, W4A4, behind an 8-bit image."""
    import brevitas.nn as qnn
    from brevitas.quant import Uint8ActPerTensorFloat
    from brevitas_examples.imagenet_classification.models.mobilenetv1 import quant_mobilenet_v1
    from torch import nn

    config = configparser.ConfigParser()
    config.read_dict({"MODEL": {"WIDTH_SCALE": "1.0"}, "QUANT": {"BIT_WIDTH": "4", "ROUND_AVG_POOL": "False"}})
    image = qnn.QuantIdentity(Uint8ActPerTensorFloat, return_quant_tensor=True)
    return nn.Sequential(image, quant_mobilenet_v1(config))


CNV, TFC = "C=3 PE=1 A=8 AS=0 T=8 steps=255 B=8", "C=784 PE=28 A=8 AS=0 T=8 steps=1 B=1"
BUILDS = (
    Build("tfc-w1a1", "CI_118674_3", _pynq("TFC_1W1A"), (1, 1, 28, 28), "tfc-w1a1", quantizer=TFC),
    Build(
        "tfc-w1a2",
        "CI_118674_4",
        _pynq("TFC_1W2A"),
        (1, 1, 28, 28),
        "tfc-w1a2",
        quantizer=TFC.replace("steps=1 B=1", "steps=3 B=2"),
    ),
    Build("cnv-w1a1", "CI_118674_0", _pynq("CNV_1W1A"), (1, 3, 32, 32), "cnv-w1a1", quantizer=CNV),
    Build("cnv-w1a2", "CI_118674_1", _pynq("CNV_1W2A"), (1, 3, 32, 32), "cnv-w1a2", quantizer=CNV),
    Build("gtsrb-w1a1", "CI_118674_6", _pynq("CNV_1W1A", 44), (1, 3, 32, 32), "gtsrb", quantizer=CNV),
    Build("vgg10-w4a4", "CI_118675_0", _radio, (1, 2, 1024), "ZCU104", standalone=True),
    Build(
        "mobilenetv1-w4a4",
        "CI_118675_1",
        _mobilenet,
        (1, 3, 224, 224),
        "ZCU102",
        standalone=True,
        apart=("Pool_hls_0", "ConvolutionInputGenerator_rtl_14"),  # the average over the image
    ),
)


def exported(build: Build, folder: Path) -> Path:
    """The network as a QONNX file."""
    import torch
    from brevitas.export import export_qonnx

    torch.manual_seed(0)
    model = build.network().train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(8 if math.prod(build.shape) < _LARGE else 2, *build.shape[1:]) * 2 - 1)
    path = folder / f"{build.name}.onnx"
    export_qonnx(model.eval(), torch.rand(build.shape), export_path=str(path), dynamo=False)
    return path


def measured(build: Build, published: dict[str, Any], models: Path, folder: Path) -> dict[str, Any]:
    """Our totals and FINN's beside Vivado's."""
    from brevitas_a2q.hw._devices import find_part

    graph = lowered(read_graph(exported(build, folder), standalone_thresholds=build.standalone), VERSION)
    (published_folding,) = models.glob(f"{build.folding}_folding_config*.json")
    entries = interleaved(json.loads(published_folding.read_text()))
    if build.quantizer:
        entries.pop("Thresholding_rtl_0")
    for name in (*ADDED, *build.apart):
        entries.pop(name, None)
    file = folder / f"{build.name}.json"
    file.write_text(json.dumps(entries))
    part = find_part(PART)
    options = BuildOptions(VERSION, standalone_thresholds=build.standalone, target="finn")
    foldings = read_foldings(file, graph, part, VERSION)
    found = estimate_graph(graph, part, None, CLOCK_MHZ, foldings=foldings, build=options)
    front = vivado_unit("Thresholding_rtl", build.quantizer, part) if build.quantizer else None
    vivado = published["vivado"]
    return {
        "build": build.name,
        "lut": found.total.lut + (front.lut if front else 0),
        "ff": (found.ff or 0) + (front.ff if front else 0),
        "bram18": found.total.bram18 + (front.bram18 if front else 0),
        "dsp": found.total.dsp,
        "cycles": found.max_cycles,
        "published_cycles": published["finn_performance"]["max_cycles"],
        "measured_interval": published["measured"]["interval_cycles"],
        "vivado": {**vivado, "BRAM18": vivado["BRAM_18K"] + 2 * vivado["BRAM_36K"]},
        "finn": published["finn_estimate"],
        "kinds": _by_kind(found),
    }


def _by_kind(found: Any) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for row in found.rows:
        name = row.op.split()[0]
        kinds[name] = kinds.get(name, 0) + row.resources.lut
    return kinds


def report(rows: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The table, and the same as numbers."""
    shell = {
        what: statistics.mean(r["vivado"][theirs] - r[what] for r in rows if r["build"] in CALIBRATED)
        for what, theirs in (("lut", "LUT"), ("ff", "FF"), ("bram18", "BRAM18"))
    }
    text = "# Whole builds\n\n" + " ".join((__doc__ or "").split("\n\n")[1].split()) + "\n\n"
    text += (
        f"Shell, from {' and '.join(CALIBRATED)}: {shell['lut']:,.0f} LUT, {shell['ff']:,.0f} FF,"
        f" {shell['bram18']:.0f} BRAM18.\n\n"
        "| build | cycles, FINN / ours / measured | LUT, Vivado | ours + shell | error |"
        " FINN + shell | FF, Vivado |"
        " ours + shell | BRAM18, Vivado | ours + shell | DSP, Vivado | ours |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    errors = []
    for r in rows:
        lut, vivado = r["lut"] + shell["lut"], r["vivado"]
        error = lut / vivado["LUT"] - 1
        mark = " (calibrates)" if r["build"] in CALIBRATED else ""
        if not mark:
            errors.append(abs(error))
        r["error"] = error
        finn = r["finn"]["LUT"] + shell["lut"]
        text += (
            f"| {r['build']}{mark} | {r['published_cycles']:,} / {r['cycles']:,} / {r['measured_interval']:,} |"
            f" {vivado['LUT']:,} | {lut:,.0f} | {error:+.1%} | {finn:,.0f} ({finn / vivado['LUT'] - 1:+.0%}) |"
            f" {vivado['FF']:,} | {r['ff'] + shell['ff']:,.0f} |"
            f" {vivado['BRAM18']:,} | {r['bram18'] + shell['bram18']:,.0f} |"
            f" {vivado['DSP']:,} | {r['dsp']:,} |\n"
        )
    median = statistics.median(errors)
    text += f"\nBuilds that judge: median error of LUTs {median:.1%}, largest {max(errors):.1%}.\n"
    return text, {"shell": shell, "median_error": median, "largest_error": max(errors), "builds": rows}


@click.command()
@click.argument("models", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(models: Path) -> None:
    """Rebuild, estimate, compare."""
    warnings.simplefilter("ignore")  # of Brevitas and torch, about themselves
    published = {entry["build"]: entry for entry in json.loads((PUBLISHED / "builds.json").read_text())}
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(build, published[build.number], models, Path(folder)) for build in BUILDS]
    text, found = report(rows)
    write_atomically(RESULTS / "published_builds.md", text)
    write_atomically(RESULTS / "published_builds.json", json.dumps(found, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
