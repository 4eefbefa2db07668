"""Transformers whose layer norms leave outliers, and whose residual sums and masks are no integers."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from brevitas_a2q import PostTrainingConfig, certify, export_qonnx, quantize_post_training_, simulate
from brevitas_a2q.ptq import restore_post_training_, save_post_training
from brevitas_a2q.ptq._activations import ActivationType, equalizers, powers
from brevitas_a2q.ptq._equalized import EqualizedLinear

# Brevitas, of inputs with a zero-point: what it says of the output does not matter to layers that return plain tensors.
pytestmark = pytest.mark.filterwarnings("ignore:Computing zero point of output accumulator:UserWarning")
SIZE = 16


class Block(nn.Module):
    """A layer of BERT: attention with an additive mask, sums before the norms, one feature far beyond the others."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(SIZE, SIZE) for _ in range(4))
        self.up, self.down, self.head = nn.Linear(SIZE, 24), nn.Linear(24, SIZE), nn.Linear(SIZE, 4)
        self.first, self.second = nn.LayerNorm(SIZE), nn.LayerNorm(SIZE)
        self.first.weight.data[3] = 25.0

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).transpose(-1, -2) / 4 + (1 - attention_mask)[:, None] * -1e9
        x = self.first(x + self.output(scores.softmax(-1) @ self.value(x)))
        x = self.second(x + self.down(nn.functional.gelu(self.up(x))))
        return self.head(x.mean(1))


def _block() -> tuple[nn.Module, dict[str, Tensor]]:
    torch.manual_seed(0)
    mask = (torch.arange(6) < torch.randint(3, 7, (64, 1))).float()
    return Block().eval(), {"x": torch.randn(64, 6, SIZE) * 2, "attention_mask": mask}


def _error(model: nn.Module, reference: nn.Module, batch: dict[str, Tensor]) -> float:
    with torch.no_grad():
        wanted, found = reference(**batch), model(**batch)
    return float((wanted - found).square().mean() / wanted.var())


def test_outliers_and_masks_cost_little() -> None:
    """A mask of -1e9 takes nothing from the scores' scale, and an outlier little from its neighbours'."""
    reference, batch = _block()
    errors, of_layer = {}, {}
    for equalize in (False, True):
        model = copy.deepcopy(reference)
        config = PostTrainingConfig(accumulator_bit_width=12, method="exchange", shrinkages=(0.2,), equalize=equalize)
        report = quantize_post_training_(model, [batch], config)
        errors[equalize] = _error(model, reference, batch)
        of_layer[equalize] = next(row.output_error for row in report.rows if row.name == "up")
        assert any(isinstance(layer, EqualizedLinear) for layer in model.modules()) == equalize
        assert certify(model, (batch["x"][:1], batch["attention_mask"][:1])).holds
    assert max(errors.values()) < 0.05
    assert of_layer[True] < 0.5 * of_layer[False]


def test_equalized_layers_are_exported_and_restored(tmp_path: Path) -> None:
    reference, batch = _block()
    model = copy.deepcopy(reference)
    config = PostTrainingConfig(accumulator_bit_width=12, method="exchange", shrinkages=(0.2,))
    report = quantize_post_training_(model, [batch], config)
    args = batch["x"][:1], batch["attention_mask"][:1]
    exported = export_qonnx(model, args, tmp_path / "block.onnx")
    assert exported.certificate.holds
    inputs = {"global_in": batch["x"].numpy(), "global_in_1": batch["attention_mask"].numpy()}
    with torch.no_grad():
        wanted = model(**batch).numpy()
    np.testing.assert_allclose(simulate(tmp_path / "block.onnx", inputs).outputs, wanted, atol=1e-4)
    save_post_training(model, report, [batch], tmp_path / "saved")
    again = copy.deepcopy(reference)
    restore_post_training_(again, tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(again(**batch), model(**batch))


def test_only_features_far_beyond_the_others_are_divided() -> None:
    x = torch.ones(5, 8)
    assert equalizers([x]) == []
    x[2, 1], x[3, 6] = -16.0, 0.01
    assert equalizers([x]) == [(0, 2, *[0] * 6), (0, 4, *[0] * 6)]


def test_a_divided_feature_keeps_its_codes() -> None:
    kind = ActivationType(4, "signed", 0.25, -7, 7, (0, 3))
    assert kind.quantize(torch.tensor([[1.0, 8.0]])).tolist() == [[1.0, 1.0]]
    assert powers((0, 3), -1).tolist() == [1.0, 0.125]
    assert ActivationType.from_json(kind.to_json()) == kind
