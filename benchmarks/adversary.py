"""Try to make certificates wrong: random files, layers or models, certified, executed at extreme inputs, and compared.

    python benchmarks/adversary.py files --count 100000 --seed 0 --out results/adversary --processes 2

A file or layer has a seed of its own; of a seed of models there is a network, and what changes make of it, each of them
certified and attacked. A verdict is one line of ``OUT/<kind>.jsonl``, which names the revision of the code, and a run
goes on where the last one stopped. A summary is printed at the end, and written beside.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.adversary.lines import read_lines

_MODELS = 12  # that are made of one network at most, each certified and attacked


def _settled(kind: str) -> None:
    """Load what a process needs, once, and keep it out of the collector's rounds."""
    import gc
    import importlib

    importlib.import_module(f"benchmarks.adversary.{kind}.attack").attack(0)
    gc.collect()
    gc.freeze()


def _attack(task: tuple[str, int]) -> list[dict[str, Any]]:
    warnings.filterwarnings("ignore")
    import importlib
    import os

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    kind, seed = task
    module = importlib.import_module(f"benchmarks.adversary.{kind}.attack")
    return module.attack(seed, models=_MODELS) if kind == "models" else [module.attack(seed)]


def revision() -> str:
    """The commit of the code, with a mark where files differ from it."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by outcome, judge and operation, and the share of needless refusals."""
    outcomes = Counter(line["outcome"] for line in lines)
    executable = sum(outcomes.values()) - outcomes["not executable"]
    certified = [line for line in lines if line["outcome"] in ("certified", "VIOLATION")]
    used = Counter(kind for line in certified for kind in set(line["used"]))
    judges = Counter(judge for line in certified for judge in line["judged_by"])
    silent = Counter(_kind_of(reason) for line in certified for reason in line.get("silent", ()))
    turned = [line for line in lines if line["outcome"] == "refused"]
    necessary = Counter(line["why"] for line in turned if line.get("why"))
    needless = Counter(_kind_of(_said(line)) for line in turned if not line.get("why"))
    refused = Counter(_kind_of(line["detail"]) for line in lines if line["outcome"] == "refused")
    return {
        "cases": len(lines),
        "seeds": len({line["seed"] for line in lines}),
        "revisions": dict(Counter(line.get("revision", "unknown") for line in lines)),
        "outcomes": dict(outcomes.most_common()),
        "refused, share of what executes": outcomes["refused"] / max(1, executable),
        "needlessly refused, share of what executes": sum(needless.values()) / max(1, executable),
        "refused for what the case holds": dict(necessary.most_common()),
        "needlessly refused": dict(needless.most_common(20)),
        "refusals": dict(refused.most_common(20)),
        "layers": sum(line["layers"] for line in certified),
        "covered": sum(line["covered"] for line in certified),
        "layers left out": dict(silent.most_common(20)),
        "inputs executed": sum(line.get("inputs", 0) for line in certified),
        "reached the end of a range": sum(line["tightest"] >= 1 for line in certified) / max(1, len(certified)),
        "judged by": dict(judges.most_common()),
        "operations": dict(used.most_common()),
    }


def _said(line: dict[str, Any]) -> str:
    """Why a case was refused, by its layers where the error is of training."""
    return next((reason for reason in line.get("silent", ()) if reason), line["detail"])


def _kind_of(reason: str) -> str:
    """A reason without the names and numbers of one case."""
    return re.sub(r"\b[nt]\d+(_\d+)?(/\w+)?\b|\d[\d.e+-]*", "#", reason)[:100]


def page(kind: str, found: dict[str, Any], first: int) -> str:
    """The summary as a page."""
    outcomes = ", ".join(f"{count} {name}" for name, count in found["outcomes"].items())
    share = found["needlessly refused, share of what executes"]
    lines = [
        f"# Random {kind} against their certificates",
        "",
        f"`python benchmarks/adversary.py {kind} --count {found['seeds']} --seed {first} --out OUT`",
        "",
        *(
            []
            if found["seeds"] == found["cases"]
            else [f"- {found['seeds']:,} networks, and what changes make of each."]
        ),
        "- Code of commit " + ", ".join(f"{name} ({n:,} cases)" for name, n in found["revisions"].items()) + ".",
        f"- {found['cases']:,} cases: {outcomes}. A violation would be a sum outside its certified range.",
        f"- {found['inputs executed']:,} inputs were executed, chosen to drive every layer's sums to their ends.",
        f"- Refused of what can be executed: {found['refused, share of what executes']:.2%}; needlessly, holding "
        f"nothing for which it must be: {share:.2%}.",
        f"- {found['covered']:,} of {found['layers']:,} layers of certified {kind} are covered; in "
        f"{found['reached the end of a range']:.0%} of the {kind} an input was found that reaches an end of a range.",
        "- Judged by " + ", ".join(f"{name} ({count:,})" for name, count in found["judged by"].items()) + ".",
        "",
        *_counted("operations", f"certified {kind}", found["operations"]),
        *_counted("why a layer is not covered", "layers", found["layers left out"]),
        *_counted(f"what {kind} hold for which they are refused", "cases", found["refused for what the case holds"]),
        *_counted(f"why {kind} are refused needlessly", "cases", found["needlessly refused"]),
    ]
    return "\n".join(lines)


def _counted(what: str, of: str, counts: dict[str, int]) -> list[str]:
    if not counts:
        return []
    return [f"| {what} | {of} |", "|---|---|", *(f"| {name} | {count} |" for name, count in counts.items()), ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["files", "layers", "models"])
    parser.add_argument("--count", type=int, default=1000, help="seeds in all; 0 sums up what there is")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.kind}.jsonl"
    lines = read_lines(path)
    code = revision()
    done = {line["seed"] for line in lines}
    tasks = [(options.kind, s) for s in range(options.seed, options.seed + options.count) if s not in done]
    with (
        path.open("a") as file,
        ProcessPoolExecutor(options.processes, initializer=_settled, initargs=(options.kind,)) as pool,
    ):
        verdicts = pool.map(_attack, tasks, chunksize=16)
        for found in tqdm(verdicts, total=len(tasks), unit="seed", mininterval=10, disable=not tasks):
            fresh = [{**line, "revision": code} for line in found]
            file.write("".join(json.dumps(line) + "\n" for line in fresh))
            file.flush()
            lines += fresh
            for line in fresh:
                if line["outcome"] in ("VIOLATION", "CRASH"):
                    print(f"seed {line['seed']}: {line['outcome']}: {line['detail']}", file=sys.stderr)
    whole = summary(lines)
    print(json.dumps(whole, indent=2))
    (options.out / f"{options.kind}.json").write_text(json.dumps(whole, indent=2) + "\n")
    (options.out / f"{options.kind}.md").write_text(page(options.kind, whole, options.seed))


if __name__ == "__main__":
    main()
