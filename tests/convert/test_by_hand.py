"""Layers whose weights the model multiplies itself are left out, or on demand converted like those that run."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_a2q import A2QConfig, certify, constrain_, export_qonnx, quantize_post_training_
from brevitas_a2q.ptq import restore_post_training_, save_post_training

CONFIG = A2QConfig(accumulator_bit_width=20, activation_bit_width=8, skip_first_and_last=False, hand_multiplied=True)


@torch.fx.wrap
def attend(x: Tensor, weight: Tensor, bias: Tensor, projection: Tensor) -> Tensor:
    """No graph looks into this."""
    return F.linear(torch.softmax(F.linear(x, weight, bias), -1), projection)


class Plain(nn.Module):
    """Every product is one that a graph shows."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 16), nn.Linear(16, 16)
        self.c, self.d = nn.Linear(16, 16, bias=False), nn.Linear(16, 4)
        self.conv = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(F.linear(torch.relu(self.a(x)), self.b.weight, self.b.bias))
        x = torch.relu(F.linear(x, weight=self.c.weight)).unsqueeze(1)
        return self.d(torch.relu(F.conv1d(x, self.conv.weight, self.conv.bias, padding=1)).squeeze(1))


class Hidden(Plain):
    """They are inside of a function that no graph shows."""

    def forward(self, x: Tensor) -> Tensor:
        return self.d(self.conv(attend(self.a(x), self.b.weight, self.b.bias, self.c.weight).unsqueeze(1)).squeeze(1))


class Branching(Plain):
    """No graph at all; a bias of its own, and one that is left out."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        if x.isfinite().all():
            x = F.linear(torch.relu(x), self.b.weight, torch.cat((self.b.bias[:8], torch.zeros(8))))
        x = F.conv1d(torch.relu(F.linear(x, self.c.weight)).unsqueeze(1), self.conv.weight, padding=(1,))
        return self.d(torch.relu(x).squeeze(1))


class Pooling(nn.Module):
    """Attention by ``torch.nn.functional``, as CLIP pools."""

    def __init__(self) -> None:
        super().__init__()
        self.i, self.q, self.k, self.v, self.c = (nn.Linear(16, 16) for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.i(x).transpose(0, 1)
        bias = torch.cat((self.q.bias, self.k.bias, self.v.bias))
        separate = {"q_proj_weight": self.q.weight, "k_proj_weight": self.k.weight, "v_proj_weight": self.v.weight}
        return F.multi_head_attention_forward(
            x[:1], x, x, 16, 4, None, bias, None, None, False, 0.0, self.c.weight, self.c.bias,
            training=self.training, need_weights=False, use_separate_proj_weight=True, **separate,
        )[0][0]  # fmt: skip


CASES = {
    "plain": (Plain, (8,), 5),
    "hidden": (Hidden, (8,), 5),
    "branching": (Branching, (8,), 5),
    "pooling": (Pooling, (5, 16), 5),
}


def made(case: str, samples: int = 64) -> tuple[nn.Module, Tensor, int]:
    """A network, its inputs, and its number of layers."""
    kind, shape, layers = CASES[case]
    torch.manual_seed(3)
    return kind().eval(), torch.rand(samples, *shape), layers


@pytest.mark.parametrize("case", CASES)
def test_they_are_constrained_certified_and_exported(case: str, tmp_path: Path) -> None:
    model, x, layers = made(case)
    before = model(x)
    report = constrain_(model, CONFIG, x)
    after = model(x)
    certificate = certify(model, x[:1])

    assert len(report.constrained) == certificate.targets == layers
    assert certificate.holds
    assert (after - before).norm() < 0.03 * before.norm()
    assert export_qonnx(model, x[:1], tmp_path / "net.onnx").certificate.targets == layers
    assert torch.equal(copy.deepcopy(model)(x), after)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), after)


NEVER_CALLED = {
    "plain": ["b", "c", "conv"],
    "hidden": ["b", "c"],
    "branching": ["b", "c", "conv"],
    "pooling": ["c", "k", "q", "v"],
}


@pytest.mark.parametrize("case", CASES)
def test_unless_asked_for_they_are_skipped_and_listed(case: str) -> None:
    model, x, _ = made(case)
    before = model(x)
    report = constrain_(model, replace(CONFIG, hand_multiplied=False), x)
    uncovered = certify(model, x[:1]).uncovered

    assert (model(x) - before).norm() < 0.03 * before.norm()
    assert sorted(row.name for row in report.skipped) == NEVER_CALLED[case]
    assert all("hand_multiplied=True" in str(row.skipped_because) for row in report.skipped)
    assert all(f"{name}: did not run on the example" in uncovered for name in NEVER_CALLED[case])


def test_a_graph_tells_of_them_without_an_example() -> None:
    report = constrain_(made("plain")[0], replace(CONFIG, hand_multiplied=False))
    assert sorted(row.name for row in report.skipped) == NEVER_CALLED["plain"]


def test_one_that_runs_as_well_is_constrained_and_its_other_product_listed() -> None:
    class Tied(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return self.d(torch.relu(F.linear(torch.relu(self.b(self.a(x))), self.b.weight)))

    model, x = Tied().eval(), torch.rand(64, 8)
    report = constrain_(model, replace(CONFIG, hand_multiplied=False), x)
    assert {"a", "b", "d"} == {row.name for row in report.constrained}
    assert "Tied: products of real numbers by mm, 16 in a sum" in certify(model, x[:1]).uncovered


@pytest.mark.parametrize("case", CASES)
def test_they_train(case: str) -> None:
    model, x, _ = made(case)
    constrain_(model, CONFIG, x)
    model.train()(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("case", ["branching", "pooling"])
def test_post_training_solves_them_and_brings_them_back(case: str, tmp_path: Path) -> None:
    model, x, layers = made(case, 256)
    before = model(x)
    report = quantize_post_training_(model, x, accumulator_bit_width=18)
    after = model(x)
    save_post_training(model, report, x, tmp_path)
    again = made(case)[0]
    restore_post_training_(again, tmp_path)

    assert len(report.rows) == layers
    assert (after - before).norm() < 0.03 * before.norm()
    assert torch.equal(again(x), after)


def test_a_run_with_a_layer_that_never_runs_comes_back(tmp_path: Path) -> None:
    model, x, _ = made("plain", 256)
    model.idle = nn.Linear(4, 4)
    save_post_training(model, quantize_post_training_(model, x, accumulator_bit_width=18), x, tmp_path)
    again = made("plain")[0]
    again.idle = nn.Linear(4, 4)
    restore_post_training_(again, tmp_path)
    assert torch.equal(again(x), model(x))


def test_a_product_of_another_geometry_is_none_of_the_layer() -> None:
    class Dilated(Plain):
        def forward(self, x: Tensor) -> Tensor:
            x = F.conv1d(self.a(x).unsqueeze(1), self.conv.weight, self.conv.bias, padding=2, dilation=2)
            return self.d(x.squeeze(1))

    model, x = Dilated().eval(), torch.rand(4, 8)
    report = constrain_(model, CONFIG, x)
    assert "conv" in {row.name for row in report.skipped}
    assert any(line.startswith("conv: did not run") for line in certify(model, x).uncovered)


@pytest.mark.parametrize("masks", ["none", "float", "padding", "each head", "one sample", "weights"])
def test_attention_is_that_of_torch(masks: str) -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            given = {
                "float": {"attn_mask": torch.linspace(-2, 2, 25).reshape(5, 5)},
                "padding": {"key_padding_mask": torch.arange(15).reshape(3, 5) % 4 == 3},
                "each head": {"attn_mask": torch.arange(300).reshape(12, 5, 5) % 7 == 6},
            }.get(masks, {})
            x = x[0] if masks == "one sample" else x.transpose(0, 1)
            found = F.multi_head_attention_forward(
                x, x, x, 16, 4, self.qkv.weight, self.qkv.bias, None, None, False, 0.0, self.out.weight, self.out.bias,
                training=False, average_attn_weights=masks != "weights", **given,
            )  # fmt: skip
            return torch.cat([part.flatten() for part in found])

    torch.manual_seed(5)
    model, x = Attending().eval(), torch.randn(3, 5, 16)
    with torch.no_grad():
        model.qkv.bias.copy_(torch.randn(48))
    before = model(x)
    config = A2QConfig(28, skip_first_and_last=False, hand_multiplied=True)
    assert len(constrain_(model, config, x).constrained) == 2
    assert (model(x) - before).norm() < 0.03 * before.norm()
