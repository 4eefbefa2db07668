"""Try to make certificates wrong: random files (or models), certified, executed at extreme inputs, and compared.

    python benchmarks/adversary.py files --count 100000 --seed 0 --out results/adversary --processes 2

Every case has a seed of its own; its verdict is one line of ``OUT/<kind>.jsonl``, and a run goes on where the last one
stopped. A summary is printed at the end, and written beside.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))


def _attack(task: tuple[str, int]) -> dict[str, Any]:
    warnings.filterwarnings("ignore")
    import importlib
    import os

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    kind, seed = task
    return dict(importlib.import_module(f"benchmarks.adversary.{kind}.attack").attack(seed))


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by outcome, judge and operation, and the share of needless refusals."""
    outcomes = Counter(line["outcome"] for line in lines)
    executable = sum(outcomes.values()) - outcomes["not executable"]
    used = Counter(kind for line in lines if line["outcome"] == "certified" for kind in set(line["used"]))
    judges = Counter(judge for line in lines for judge in line["judged_by"])
    certified = [line for line in lines if line["outcome"] == "certified"]
    return {
        "cases": len(lines),
        "outcomes": dict(outcomes),
        "needlessly refused, share of what executes": outcomes["refused"] / max(1, executable),
        "layers": sum(line["layers"] for line in certified),
        "covered": sum(line["covered"] for line in certified),
        "reached the end of a range": sum(line["tightest"] >= 1 for line in certified) / max(1, len(certified)),
        "judged by": dict(judges),
        "operations": dict(used.most_common()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["files", "models"])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.kind}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {line["seed"] for line in lines}
    tasks = [(options.kind, s) for s in range(options.seed, options.seed + options.count) if s not in done]
    with path.open("a") as file, ProcessPoolExecutor(options.processes) as pool:
        for line in pool.map(_attack, tasks, chunksize=16):
            file.write(json.dumps(line) + "\n")
            file.flush()
            lines.append(line)
            if line["outcome"] in ("VIOLATION", "CRASH"):
                print(f"seed {line['seed']}: {line['outcome']}: {line['detail']}", file=sys.stderr)
    found = summary(lines)
    print(json.dumps(found, indent=2))
    (options.out / f"{options.kind}.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
