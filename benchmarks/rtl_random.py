"""Random files as accelerators: simulated word by word, held against the QONNX executor and against the estimate.

    python benchmarks/rtl_random.py --count 1000 --seed 0 --out results/rtl_random

The files are those of ``adversary.py files``. What can be built of them gets a random part, rate and accumulator
policy, some also random gaps and stalls and the witness of every layer. A case is one line of ``OUT/cases.jsonl``, and
a run goes on where the last one stopped. ``rtl_random.json`` has what was built or refused, the page sums it up.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

_PARTS = ("ZCU104", "xc7z020")
_POLICIES = ("32", "data-type", "exact")  # what a file claims of its accumulators need not hold
_IMAGES, _SETTLED = 5, 25  # a network may take some images to settle
_LEAST_UNITS = 3


def built(seed: int, folder: Path) -> dict[str, Any]:
    """One random file, built and simulated if it is an accelerator's.

    Returns:
        ``outcome``: ``no accelerator`` (with why), ``refused``, ``built`` or ``CRASH``; what was measured.
    """
    import onnx

    from benchmarks.adversary.files.generate import generate
    from brevitas_a2q.errors import A2QError
    from brevitas_a2q.hw._frontend import read_graph

    case, rng = generate(seed), random.Random(seed)
    path = folder / f"{seed}.onnx"
    onnx.save(case.graph.model(case.outputs), path)
    options: dict[str, Any] = {
        "part": rng.choice(_PARTS),
        "accumulator": rng.choice(_POLICIES),
        "witness": rng.random() < 0.4,
        "gap": 200 if rng.random() < 0.3 else 0,
        "seed": seed,
    }
    options["stall"] = options["gap"]
    fps = 10 ** rng.uniform(4.5, 7)
    try:
        graph = read_graph(path)
    except A2QError as error:
        return {"outcome": "no accelerator", "why": _said(error, folder)}
    kinds = sorted({unit.kind for unit in graph.units})
    if "Island" in kinds or len(graph.units) < _LEAST_UNITS:
        return {"outcome": "no accelerator", "why": "real values between units, or one unit or two"}
    try:
        report = _built(path, folder, fps, options)
    except A2QError as error:
        return {"outcome": "refused", "why": _said(error, folder), "kinds": kinds}
    return {"outcome": "built", "kinds": kinds, **report}


def _said(error: Exception, folder: Path) -> str:
    """An error without the folder of this run."""
    return str(error).replace(f"{folder}/", "")


def _built(path: Path, folder: Path, fps: float, options: dict[str, Any]) -> dict[str, Any]:
    from brevitas_a2q import hw
    from brevitas_a2q.errors import FoldingError

    rates = iter((fps, fps / 30, fps / 1000, None))  # the fastest of these that fits the part
    while True:
        rate = next(rates)
        try:
            foldings = hw.fold(path, options["part"], rate, accumulator=options["accumulator"]).estimate.foldings
            break
        except FoldingError:
            if rate is None:
                raise
    for images in (_IMAGES, _SETTLED):
        out = folder / f"{path.stem}-{images}"
        made = hw.build(path, out, folding=foldings, simulate=images, simulator="icarus", **options)
        report = made.to_json()
        if report["interval_cycles"] == report["estimated_interval_cycles"]:
            break
    fifos = [unit for unit in report["units"] if unit["op"] == "Fifo"]
    return {
        "holds": report["holds"],
        "differ": len(report["executor"]["differences"]),
        "words": report["words"],
        "compared": report["executor"]["integers"],
        "interval": [report["interval_cycles"], report["estimated_interval_cycles"]],
        "latency": [report["latency_cycles"], report["estimated_latency_cycles"]],
        "pipelines": _pipelines(made),
        "fifos": [sum(unit["built_depth"] for unit in fifos), sum(unit["fill"] for unit in fifos)],
        "stalled": report["stalled"] is not None,
        "witnesses": len(report["witness"]),
    }


def _pipelines(made: Any) -> dict[str, list[int]]:
    """Cycles that every unit is deep: as it was built, and as the schedule takes it to be."""
    net, foldings = made.accelerator.netlist, made.accelerator.context.foldings
    return {
        unit.name: [net.circuits[unit.name].depth_cycles, unit.latency(foldings[unit.name])]
        for unit in net.graph.units
        if unit.name in foldings
    }


def page(cases: list[dict[str, Any]], first: int) -> str:
    """What was found."""
    outcomes = Counter(case["outcome"] for case in cases)
    found = [case for case in cases if case["outcome"] == "built"]
    kinds = Counter(kind for case in found for kind in case["kinds"])
    equal = sum(case["interval"][0] == case["interval"][1] for case in found)
    off = [abs(estimate - rtl) for rtl, estimate in (case["latency"] for case in found)]
    near = sum(abs(estimate - rtl) <= max(2, 0.05 * rtl) for rtl, estimate in (case["latency"] for case in found))
    deep = sum(all(a == b for a, b in case["pipelines"].values()) for case in found)
    differing = [case["seed"] for case in found if case["differ"]]
    whys = Counter(_reason(case["why"]) for case in cases if case["outcome"] == "refused")
    return "\n".join(
        [
            "# Random files as accelerators",
            "",
            f"`python benchmarks/rtl_random.py --count {len(cases)} --seed {first} --out OUT`: the files of "
            "`adversary.py files`,",
            f"random parts, rates and accumulator policies; Icarus Verilog, {_IMAGES} images ({_SETTLED} where the "
            "interval had not settled).",
            "",
            f"- {len(cases):,} files: " + ", ".join(f"{n:,} {name}" for name, n in outcomes.most_common()) + ".",
            f"- Everything right in {sum(case['holds'] for case in found):,} of {len(found):,}: "
            f"{sum(case['words'] for case in found):,} words of all units equal,",
            f"  {sum(case['stalled'] for case in found):,} designs also with random gaps and stalls, "
            f"{sum(case['witnesses'] for case in found):,} layers driven with their witness.",
            f"- {sum(case['compared'] for case in found):,} integers were held against those of the QONNX executor, "
            f"which sums in float32; they differ in {len(differing)} files"
            + (f" ({', '.join(map(str, differing))})." if differing else "."),
            f"- The interval is the estimated one in {equal:,} of {len(found):,}.",
            f"- The latency is within 5 % or two cycles in {near:,}; the largest difference is {max(off, default=0)} "
            f"cycles. Every unit's pipeline is as deep as the estimate takes it to be in {deep:,}.",
            "",
            "| kind of unit | networks |",
            "|---|---|",
            *(f"| {kind} | {count:,} |" for kind, count in kinds.most_common()),
            "",
            "| refused because | files |",
            "|---|---|",
            *(f"| {why} | {count:,} |" for why, count in whys.most_common()),
            "",
        ]
    )


def _reason(why: str) -> str:
    """Without what is of one case alone."""
    return why.split(": ", 1)[-1].split(";")[0][:80].replace("|", "/")


def main() -> None:
    from benchmarks.adversary.lines import read_lines

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="files in all; 0 sums up what there is")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "cases.jsonl"
    cases = read_lines(path)
    done = {case["seed"] for case in cases}
    warnings.simplefilter("ignore")
    with path.open("a") as file:
        for seed in tqdm(range(options.seed, options.seed + options.count), unit="file", mininterval=10):
            if seed in done:
                continue
            with tempfile.TemporaryDirectory() as folder:
                try:
                    case = built(seed, Path(folder))
                except Exception as error:  # what this is here to find
                    case = {"outcome": "CRASH", "why": _said(error, Path(folder))}
            cases.append({"seed": seed, **case})
            file.write(json.dumps(cases[-1]) + "\n")
            file.flush()
            if case["outcome"] == "CRASH" or not case.get("holds", True):
                print(f"seed {seed}: {case}", file=sys.stderr)
    cases.sort(key=lambda case: int(case["seed"]))
    found = {"files": len(cases), "cases": [case for case in cases if case["outcome"] != "no accelerator"]}
    (options.out / "rtl_random.json").write_text(json.dumps(found, separators=(",", ":")) + "\n")
    (options.out / "rtl_random.md").write_text(page(cases, options.seed))


if __name__ == "__main__":
    main()
