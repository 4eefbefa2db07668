"""Trained networks that come with the package: small, accumulator-aware, each with its certificate and QONNX file.

They are made by ``benchmarks/pretrained.py`` from runs of ``brevitas-a2q train``; ``README.md`` beside each is its
card: data, recipe, accuracy, certificate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import nn

from brevitas_a2q._settings import nearest
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models._registry import build_model
from brevitas_a2q.models._spec import QuantSpec

__all__ = ["PRETRAINED", "Pretrained", "pretrained", "pretrained_files"]

FOLDER: Final = Path(__file__).parent / "trained"
PRETRAINED: Final[tuple[str, ...]] = ("digits-cnn-w4a4-p11", "espcn-x2-w8a8-p16", "small-cnn-w4a4-p12")


@dataclass(frozen=True)
class Pretrained:
    """Where the files of a trained network lie.

    Attributes:
        name: One of :data:`PRETRAINED`.
        card: What ``card.json`` says: ``model``, ``model_options``, ``quant``, data, recipe, metric and its values.
        weights: State of the network, safetensors.
        network: The exported QONNX file.
        certificate: That of the file; ``brevitas-a2q certify NETWORK --against CERTIFICATE`` checks it.
    """

    name: str
    card: Mapping[str, Any]
    weights: Path
    network: Path
    certificate: Path


def pretrained_files(name: str) -> Pretrained:
    """Files and card of a trained network.

    Raises:
        ConfigError: No network of this name.
    """
    if name not in PRETRAINED:
        raise ConfigError(
            f"found pretrained network {name!r}",
            expected=f"one of {', '.join(PRETRAINED)}",
            remedy=nearest(name, PRETRAINED),
        )
    folder = FOLDER / name
    card = json.loads((folder / "card.json").read_text())
    return Pretrained(name, card, folder / "model.safetensors", folder / "network.onnx", folder / "certificate.json")


def pretrained(name: str) -> nn.Module:
    """A trained network, in evaluation mode on the CPU: no accumulator of its hidden layers can overflow.

    Args:
        name: One of :data:`PRETRAINED`; network, bit widths of weights and activations, accumulator width P.

    Raises:
        ConfigError: No network of this name.

    Example:
        >>> import torch
        >>> from brevitas_a2q.verify import certify
        >>> network = pretrained("digits-cnn-w4a4-p11")
        >>> image = torch.zeros(1, 1, 8, 8)
        >>> certify(network, image).holds, network(image).shape
        (True, torch.Size([1, 10]))
    """
    from safetensors.torch import load_file

    files = pretrained_files(name)
    model = build_model(files.card["model"], QuantSpec(**files.card["quant"]), **files.card["model_options"])
    model.load_state_dict(load_file(files.weights))
    return model.eval()
