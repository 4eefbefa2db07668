"""Make the trained networks that come with the package from folders of ``brevitas-a2q train``.

    python benchmarks/pretrained.py pack RUN NAME     # weights, file, certificate, card
    python benchmarks/pretrained.py render            # the table in docs/pretrained.md

The certificate is that of the exported file. A network is packed only if it comes back from its files as it was.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click
import torch
from safetensors.torch import save_file

from brevitas_a2q._files import write_atomically
from brevitas_a2q.models._pretrained import FOLDER, PRETRAINED, pretrained, pretrained_files
from brevitas_a2q.train._restore import trained_network
from brevitas_a2q.verify import certify
from brevitas_a2q.verify._document import certificate_json

PAGE = Path(__file__).parent.parent / "docs" / "pretrained.md"
DATA = {
    "digits": "the 1,797 digits of scikit-learn (UCI, CC BY 4.0)",
    "cifar10": "CIFAR-10 (A. Krizhevsky, 2009)",
    "bsd300": "BSD300 (D. Martin et al., ICCV 2001; non-commercial research and educational use)",
}
METRICS = {"accuracy": "top-1 accuracy", "psnr_db": "PSNR in dB"}


def card_of(run: Path) -> dict[str, Any]:
    """What is said of a network, from its run."""
    result = json.loads((run / "result.json").read_text())
    config = result["config"]
    return {
        **{key: config[key] for key in ("model", "model_options", "quant", "data", "data_options", "seed")},
        **{key: config[key] for key in ("float_recipe", "recipe", "start")},
        **{key: result[key] for key in ("metric", "last", "float_last", "sparsity", "compression", "versions")},
    }


@click.group()
def main() -> None:
    """Trained networks that come with the package."""


@main.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("name", type=click.Choice(PRETRAINED))
def pack(run: Path, name: str) -> None:
    """Put the network of RUN into the package as NAME."""
    trained = trained_network(run)
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    card = card_of(run)
    write_atomically(folder / "card.json", json.dumps(card, indent=2) + "\n")
    state = {key: value.contiguous() for key, value in trained.model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    shutil.copyfile(run / "network.onnx", folder / "network.onnx")
    certificate = certify(folder / "network.onnx")
    write_atomically(folder / "certificate.json", certificate_json(certificate))
    write_atomically(folder / "README.md", readme(name, card, certificate))
    again, x = pretrained(name), trained.example()
    with torch.no_grad():
        assert torch.equal(again(x), trained.model(x)), "the network that comes back is another one"
    assert certify(again, x).holds
    click.echo(f"{name}: {sum(path.stat().st_size for path in folder.iterdir()) / 1024:.0f} KiB")


def readme(name: str, card: dict[str, Any], certificate: Any) -> str:
    """The card of a network."""
    quant = card["quant"]
    lines = [
        f"# {name}",
        "",
        f"`brevitas_a2q.models.pretrained({name!r})`: the network `{card['model']}`, weights of "
        f"{quant['weight_bit_width']} and activations of {quant['activation_bit_width']} bits "
        f"({quant['boundary_bit_width']} in the first and last layer), method `{quant['method']}`; no hidden layer's "
        f"{quant['accumulator_bit_width']}-bit accumulator can overflow, whatever the input.",
        "",
        f"- **Data**: {DATA[card['data']]}; options `{json.dumps(card['data_options'])}`. Test images chose nothing.",
        f"- **{METRICS[card['metric']]}** on the test images, after the last epoch: {value(card, 'last')}; "
        f"of the float network that training started from: {value(card, 'float_last')}.",
        f"- **Sparsity** of the constrained layers {card['sparsity']:.1%}, compression {card['compression']:.1f}x.",
        f"- **Recipe**: `{json.dumps(card['recipe'])}`, seed {card['seed']}; "
        f"float: {json.dumps(card['float_recipe']) if card['float_recipe'] else 'a run of its own'}.",
        f"- **Made with** {', '.join(f'{key} {number}' for key, number in card['versions'].items())}.",
        "",
        "| layer | products | accumulator | required | lowest sum | highest sum |",
        "|---|---|---|---|---|---|",
    ]
    for layer in certificate.layers:
        given = layer.accumulator_bit_width
        lines.append(
            f"| {layer.name} | {layer.inputs} | {'-' if given is None else given} | "
            f"{layer.required_bit_width} | {layer.lower:,} | {layer.upper:,} |"
        )
    return "\n".join(lines) + "\n"


def value(card: dict[str, Any], key: str) -> str:
    """A metric as it is printed."""
    if card[key] is None:
        return "-"
    return f"{card[key]:.2%}" if card["metric"] == "accuracy" else f"{card[key]:.2f} dB"


@main.command()
def render() -> None:
    """Write the page of all networks."""
    lines = [
        "# Trained networks",
        "",
        "They come with the package: `brevitas_a2q.models.pretrained(name)` gives the network, "
        "`pretrained_files(name)` its QONNX file, certificate and card.",
        "Written by `python benchmarks/pretrained.py render`.",
        "",
        "| name | data | P | metric | float | trained | sparsity | size |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in PRETRAINED:
        files = pretrained_files(name)
        card, size = files.card, sum(path.stat().st_size for path in files.weights.parent.iterdir())
        lines.append(
            f"| {name} | {card['data']} | {card['quant']['accumulator_bit_width']} | {METRICS[card['metric']]} | "
            f"{value(dict(card), 'float_last')} | {value(dict(card), 'last')} | {card['sparsity']:.1%} | "
            f"{size / 1024:.0f} KiB |"
        )
    write_atomically(PAGE, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
