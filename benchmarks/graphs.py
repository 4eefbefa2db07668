"""Into how many graphs torch.compile takes quantized networks, and what breaks them.

    python benchmarks/graphs.py [NETWORK ...]

Networks of the registry, and torchvision's ResNet18, a Brevitas model and CNV of Brevitas' examples after
``constrain_``, each for five training steps: two in which activations collect statistics, three after. Results go to
results/graphs.json.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import click
import torch
import torchvision
from torch import Tensor, nn
from torch._dynamo.utils import counters

from brevitas_a2q import A2QConfig, constrain_
from brevitas_a2q._files import write_atomically
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.models._registry import MODELS

RESULTS = Path(__file__).parent / "results"
METHODS = ("projected", "a2q+", "none")
COLLECTING, STEPS = 2, 5


class Graphs:
    """A compiler that runs what it is given, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: Any, inputs: Any) -> Callable[..., Any]:
        self.count += 1
        return graph.forward  # type: ignore[no-any-return]


def torchvision_network(x: Tensor) -> nn.Module:
    model = torchvision.models.resnet18(num_classes=10)
    constrain_(model, A2QConfig(accumulator_bit_width=16), x)
    return model


def brevitas_network(x: Tensor) -> nn.Module:
    layers: list[nn.Module] = [qnn.QuantIdentity(return_quant_tensor=True)]
    for inputs, outputs in ((3, 8), (8, 8), (8, 8)):
        layers += [
            qnn.QuantConv2d(inputs, outputs, 3),
            nn.BatchNorm2d(outputs),
            qnn.QuantReLU(return_quant_tensor=True),
        ]
    model = nn.Sequential(*layers)
    constrain_(model, A2QConfig(accumulator_bit_width=16), x)
    return model


def example_network(x: Tensor) -> nn.Module:
    from brevitas_examples.bnn_pynq.models import model_with_cfg

    model: nn.Module = model_with_cfg("CNV_2W2A", pretrained=False)[0]
    constrain_(model.eval(), A2QConfig(accumulator_bit_width=12), x)
    return model


def row(name: str, model: nn.Module, x: Tensor) -> dict[str, Any]:
    """Graphs while statistics are collected and after, and the reasons of breaks."""
    torch._dynamo.reset()
    counters.clear()
    model.train()
    for module in model.modules():
        if hasattr(module, "collect_stats_steps"):
            module.collect_stats_steps = COLLECTING + 1  # type: ignore[assignment]
            module.counter = 0  # type: ignore[assignment]
    model(x)  # so that ranges and scales of weights are known
    graphs, counts = Graphs(), []
    run = torch.compile(model, backend=graphs)
    for _ in range(STEPS):
        out = run(x)
        getattr(out, "value", out).square().mean().backward()
        counts.append(graphs.count)
    found = {"network": name, "graphs_after_step": counts, "breaks": dict(counters["graph_break"])}
    print(found, flush=True)
    return found


def networks() -> dict[str, Callable[[], tuple[nn.Module, Tensor]]]:
    """Every network by name, with an input."""
    x = torch.rand(2, 3, 32, 32)

    def registered(name: str, method: Any) -> tuple[nn.Module, Tensor]:
        options = {"width": 8} if name == "resnet18" else {}
        return build_model(name, QuantSpec(method, 4, 4, 12), **options), torch.rand(2, *MODELS[name].input_shape)

    found: dict[str, Any] = {}
    for place, name in enumerate(MODELS):
        found[name] = partial(registered, name, METHODS[place % len(METHODS)])
    found["torchvision:resnet18"] = lambda: (torchvision_network(x), x)
    found["a Brevitas model"] = lambda: (brevitas_network(x), x)
    found["bnn_pynq:CNV_2W2A"] = lambda: (example_network(x), x)
    return found


@click.command()
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Count the graphs of networks, all by default; results of others are kept."""
    torch.manual_seed(0)
    path = RESULTS / "graphs.json"
    for name, make in networks().items():
        if not names or name in names:
            found = row(name, *make())
            rows = json.loads(path.read_text())["rows"] if path.exists() else []
            rows = [found, *(other for other in rows if other["network"] != name)]
            report = {"torch": torch.__version__, "python": platform.python_version(), "rows": rows}
            write_atomically(path, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
