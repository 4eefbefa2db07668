"""How fast the estimator is: start-up, QONNX to report, one more design point, a sweep, the folding of many layers.

FINN's times beside it are those of its own flow from QONNX to the estimate reports (fresh process, no vendor tools),
measured on another, idle machine and printed in the reference data's README; everything else is measured here, in
seconds of processor time, so that other work on the machine counts little.

    OMP_NUM_THREADS=1 python benchmarks/estimator_speed.py ../shared/oracle/models

writes results/estimator_speed.json and results/estimator_speed.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.bounds import exact_range
from brevitas_a2q.hw._cost.model import synthesis_model as model
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._dse import DesignSpace
from brevitas_a2q.hw._estimation import estimate_graph
from brevitas_a2q.hw._folding_problem import FoldingProblem
from brevitas_a2q.hw._folding_result import fold_graph
from brevitas_a2q.hw._frontend import read_graph
from brevitas_a2q.hw._ir import Graph, Mvau, Padding, SlidingWindow

RESULTS = Path(__file__).parent / "results"
PART = find_part("ZCU104")
FINN_SECONDS = {"tfc_w4a4": 1.0, "cnv_w4a4": 3.0, "mobilenet_w4a4_a2q12": 2.5, "resnet_w4a4": 2.9}
FINN_FURTHER_POINT_SECONDS = 0.8
POLICIES = ("32", "data-type", "exact", "trained", *(f"fixed:{p}" for p in range(10, 25)))


def processor_time() -> float:
    """Of this process and those it has waited for, in seconds."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def seconds(work: Callable[[], object], repeats: int = 3, times: int = 1) -> float:
    """Processor time of doing something once, the median of some repeats."""
    taken = []
    for _ in range(repeats):
        started = processor_time()
        for _ in range(times):
            work()
        taken.append((processor_time() - started) / times)
    return statistics.median(taken)


def fresh_process(file: Path) -> dict[str, float]:
    """The command line, start-up included."""
    command = [sys.executable, "-m", "brevitas_a2q._cli.main"]

    def run(*words: str) -> float:
        return round(seconds(lambda: subprocess.run([*command, *words], check=True, capture_output=True)), 2)

    return {"help_s": run("estimate", "--help"), "estimate_s": run("estimate", str(file), "--target-fps", "1000")}


def network(file: Path) -> dict[str, Any]:
    """QONNX to report after import, further points, and a sweep of rates and accumulators."""
    graph = read_graph(file)
    foldings = estimate_graph(graph, PART, 1000).foldings
    space = DesignSpace(FoldingProblem(graph, PART, model(), max_cycles=200_000))
    rng = np.random.default_rng(0)
    points = np.stack([rng.integers(0, size, 1000) for size in space.sizes], axis=1)

    def sweep() -> None:
        for fps in (100, 1000, 4000):
            found = estimate_graph(graph, PART, fps).foldings
            for policy in POLICIES:
                estimate_graph(graph, PART, accumulator=policy, foldings=found)

    ours = seconds(lambda: estimate_graph(read_graph(file), PART, 1000))
    parity = seconds(lambda: estimate_graph(read_graph(file), PART, 1000, model="finn-main", accumulator="exact"))
    further = seconds(lambda: space.evaluate(points[0]), times=1000)
    at_once = seconds(lambda: space.evaluate(points), times=20)
    with_fifos = seconds(lambda: estimate_graph(graph, PART, foldings=foldings), times=10)
    finn = FINN_SECONDS.get(file.stem)
    return {
        "network": file.stem,
        "units": len(graph.units),
        "to_report_s": round(ours, 3),
        "to_report_finn_formulas_s": round(parity, 3),
        "finn_s": finn,
        "finn_over_ours": round(finn / ours, 1) if finn else None,
        "finn_over_finn_formulas": round(finn / parity, 1) if finn else None,
        "further_point_ms": round(1e3 * further, 3),
        "thousand_points_at_once_ms": round(1e3 * at_once, 2),
        "further_design_with_fifos_ms": round(1e3 * with_fifos, 1),
        "sweep_of_57_s": round(seconds(sweep, 1), 2),
    }


def deep_network(layers: int, side: int = 32) -> Graph:
    """Padded convolutions of 3x3, three units each: from ``side`` pixels and 16 channels to an eighth and 128."""
    units: list[Padding | SlidingWindow | Mvau] = []
    rng = np.random.default_rng(0)
    word, last, size, channels = IntType("UINT4"), "", side, 16
    for i in range(layers):
        halve = i in (layers // 4, layers // 2, 3 * layers // 4)
        outputs, stride = (2 * channels, 2) if halve else (channels, 1)
        after, padded = size // stride, size + 2
        common: dict[str, Any] = {"input_type": word, "output_type": word}
        units.append(
            Padding(
                **common,
                name=f"{i}/pad",
                inputs=(last,),
                pixels=padded**2,
                channels=channels,
                input_dim=(size, size),
                pads=(1, 1, 1, 1),
            )
        )
        units.append(
            SlidingWindow(
                **common,
                name=f"{i}/window",
                inputs=(f"{i}/pad",),
                pixels=after**2,
                channels=channels,
                input_dim=(padded, padded),
                output_dim=(after, after),
                kernel=(3, 3),
                stride=(stride, stride),
                dilation=(1, 1),
                depthwise=False,
            )
        )
        weights = rng.integers(-7, 8, (outputs, 9 * channels))
        reach = [exact_range(int(w[w > 0].sum()), int(-w[w < 0].sum()), word.range) for w in weights]
        low, high = min(r.lo for r in reach), max(r.hi for r in reach)
        units.append(
            Mvau(
                **common,
                name=str(i),
                inputs=(f"{i}/window",),
                pixels=after**2,
                channels=outputs,
                weight_type=IntType("INT4"),
                weights=weights,
                accumulator_type=IntType.of(max(-low, high).bit_length() + 1, True),
                accumulator_range=(low, high),
                trained_accumulator_bit_width=None,
                thresholds=np.tile(np.linspace(low // 2, high // 2, 15).astype(np.int64), (outputs, 1)),
            )
        )
        last, size, channels = str(i), after, outputs
    return Graph(f"{layers} layers of {side}", tuple(units))


def folding(layers: int, fps: float) -> dict[str, Any]:
    """Optimal folding, FIFOs sized, SetFolding beside it."""
    graph, part = deep_network(layers), find_part("U250")
    taken = seconds(lambda: fold_graph(graph, part, fps), 3)
    return {"layers": layers, "units": len(graph.units), "target_fps": fps, "seconds": round(taken, 2)}


def large_image(side: int) -> dict[str, Any]:
    """The same of a larger image at the rate that 10,000 images of 32 x 32 a second scale to, and its peak memory."""
    graph, fps = deep_network(17, side), 10_000 * (32 / side) ** 2
    taken = seconds(lambda: fold_graph(graph, find_part("U250"), fps), 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"side": side, "target_fps": round(fps, 3), "seconds": round(taken, 2), "peak_mib": round(peak)}


def in_a_process(side: int) -> dict[str, Any]:
    """The same in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(large_image, side).result()


def table(found: dict[str, Any]) -> str:
    """The numbers as Markdown."""
    process = found["process"]
    columns = {
        "network": "network",
        "units": "units",
        "to_report_s": "QONNX to report",
        "finn_s": "FINN",
        "finn_over_ours": "times faster",
        "to_report_finn_formulas_s": "by FINN's formulas",
        "finn_over_finn_formulas": "times faster",
        "further_point_ms": "further point, ms",
        "further_design_with_fifos_ms": "with FIFOs, ms",
        "sweep_of_57_s": "sweep",
    }
    lines = [
        "Seconds of processor time unless said otherwise; FINN's own times beside them (another machine).",
        "",
        f"`brevitas-a2q estimate --help`: {process['help_s']}; "
        f"`estimate` of CNV, start-up and all: {process['estimate_s']}.",
        "",
        "| " + " | ".join(columns.values()) + " |",
        "|" + "---|" * len(columns),
    ]
    for row in found["networks"]:
        lines.append("| " + " | ".join("" if row[key] is None else str(row[key]) for key in columns) + " |")
    lines += [
        "",
        f"FINN's further design point takes {FINN_FURTHER_POINT_SECONDS} s. The sweep is 19 accumulator policies at 3",
        "rates, 57 designs with their FIFOs.",
        "",
        "| layers | units | frames per second | optimal folding |",
        "|---|---|---|---|",
    ]
    lines += [f"| {r['layers']} | {r['units']} | {r['target_fps']:,} | {r['seconds']} |" for r in found["folding"]]
    lines += [
        "",
        "The network of 17 layers over larger images, each in a process of its own:",
        "",
        "| image | frames per second | optimal folding | peak memory, MiB |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {r['side']} x {r['side']} | {r['target_fps']:,} | {r['seconds']} | {r['peak_mib']} |"
        for r in found["images"]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    files = sorted(parser.parse_args().models.glob("*.onnx"))
    found = {
        "process": fresh_process(next(file for file in files if file.stem == "cnv_w4a4")),
        "networks": [network(file) for file in files],
        "folding": [folding(layers, fps) for layers in (17, 50) for fps in (1000, 10_000)],
        "images": [in_a_process(side) for side in (32, 256, 1024, 4096)],
    }
    (RESULTS / "estimator_speed.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "estimator_speed.md").write_text(table(found), encoding="utf-8")


if __name__ == "__main__":
    main()
