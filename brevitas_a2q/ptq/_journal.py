"""Solved layers on disk, so that a long run can go on after an interruption."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from brevitas_a2q import __version__
from brevitas_a2q._files import write_atomically
from brevitas_a2q.errors import A2QError, DataError
from brevitas_a2q.ptq._activations import ActivationType
from brevitas_a2q.ptq._calibration import Calibration
from brevitas_a2q.ptq._config import PostTrainingConfig
from brevitas_a2q.ptq._layer import LayerSolution

__all__ = ["Journal"]


class Journal:
    """Solutions of layers in a folder, valid for one model, one set of data and one configuration.

    Args:
        folder: Where they are; made when the first one is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._key = ""

    def open(self, model: nn.Module, data: Calibration, config: PostTrainingConfig) -> None:
        """Use the part of the folder that belongs to these."""
        sha = hashlib.sha256(data.digest.encode())
        sha.update(json.dumps([__version__, asdict(replace(config))], sort_keys=True, default=str).encode())
        for name, tensor in sorted(model.state_dict().items()):
            sha.update(name.encode())
            if hasattr(tensor, "detach"):
                sha.update(tensor.detach().cpu().contiguous().float().numpy().tobytes())
        self._key = sha.hexdigest()[:16]

    def read(self, key: str) -> dict[str, LayerSolution]:
        """Solutions of an earlier pass of this name."""
        found: dict[str, LayerSolution] = {}
        for path in sorted((self.folder / self._key / key).glob("*.npz")):
            try:
                with np.load(path, allow_pickle=False) as stored:
                    meta = json.loads(str(stored["meta"]))
                    name = meta.pop("name")
                    found[name] = LayerSolution(
                        activation=ActivationType.from_json(meta.pop("activation")),
                        codes=stored["codes"],
                        scales=stored["scales"],
                        bias_change=stored["bias_change"],
                        bias=stored.get("bias"),
                        **meta,
                    )
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise DataError(
                    "cannot be read", where=f"file {path}", expected="a solved layer", remedy="remove the file"
                ) from error
        return found

    def write(self, key: str, name: str, solution: LayerSolution) -> None:
        """Keep one layer's solution."""
        folder = self.folder / self._key / key
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise A2QError(f"cannot be made ({error.strerror})", where=f"folder {folder}") from error
        meta: dict[str, Any] = {
            "name": name,
            "activation": solution.activation.to_json(),
            "output_error": solution.output_error,
            "shrinkage": solution.shrinkage,
            "accumulator_bit_width": solution.accumulator_bit_width,
            "weight_bit_width": solution.weight_bit_width,
        }
        buffer = io.BytesIO()
        arrays = {"codes": solution.codes, "scales": solution.scales, "bias_change": solution.bias_change}
        if solution.bias is not None:
            arrays["bias"] = solution.bias
        np.savez_compressed(buffer, meta=np.array(json.dumps(meta)), **arrays)  # type: ignore[arg-type]
        count = len(list(folder.glob("*.npz")))
        write_atomically(folder / f"{count:04d}.npz", buffer.getvalue())
