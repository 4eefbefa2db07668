"""Kernels for GPUs: what they compute, without a GPU by Triton's interpreter, and that they compile for one."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from brevitas_a2q.quant._functional import accelerator
from brevitas_a2q.quant._functional.activation import quantize_activation
from brevitas_a2q.quant._triton import activation, normalization, projection

assert quantize_activation  # imported, so that it is registered

CASES = Path(__file__).with_name("gpu_cases.py")
POINTERS = {torch.float32: "*fp32", torch.float64: "*fp64", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
ROW = {"BLOCK": 256, "LARGEST": 1e38}


def run_cases(**environment: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", str(CASES)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_interpreted() -> None:
    """Before the language is imported it must be known that it is interpreted, hence the process of its own."""
    run_cases(TRITON_INTERPRET="1", OMP_NUM_THREADS="1")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_the_gpu() -> None:
    run_cases(TRITON_INTERPRET="0")


def compiled(kernel: Any, pointers: list[str], **constants: Any) -> str:
    """Assembly of a kernel for an H100, which its assembler has taken."""
    names = kernel.arg_names
    kinds = dict(zip(names, pointers, strict=False))
    kinds |= {name: "constexpr" if name in constants else "i32" for name in names[len(pointers) :]}
    source = ASTSource(kernel, kinds, constants)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False})
    assert made.asm["cubin"]
    return str(made.asm["ptx"])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize(("dtype", "rounding", "single"), [*zip(POINTERS, range(5), [0, 1, 0, 1], strict=False)])
def test_activations_compile(dtype: torch.dtype, rounding: int, single: int) -> None:
    x = POINTERS[dtype]
    sums = "*fp64" if dtype == torch.float64 else "*fp32"
    tile = {"ROWS": 2048 if single else 32, "COLUMNS": 1 if single else 64, "SINGLE": single, "WIDE": single}
    how = {"LOW": 0.0, "HIGH": math.inf, "SIGNED": 0, "NARROW": 0, "ROUNDING": rounding}
    for kernel, pointers in (
        (activation.forward, [x, x, *["*fp32"] * 3]),
        (activation.backward, [x, x, x, sums, *["*fp32"] * 3]),
    ):
        assembly = compiled(kernel, pointers, **tile, **how)
        assert "fma.rn.f32" not in assembly
        assert "div.full" not in assembly
        assert "approx" not in assembly
    assert compiled(activation.reduce, ["*fp32"] * 6, SIGNED=1, PARTS=4, COLUMNS=64)


@pytest.mark.parametrize("w", ["*fp32", "*fp64"])
def test_weights_compile(w: str) -> None:
    assembly = compiled(projection.project_row, [w, w, "*i64", "*i16", w, w, "*fp64"], UNITS=128, **ROW)
    assert "fma." not in assembly
    assert "approx" not in assembly
    assert compiled(projection.projection_gradient, [w, w, w, "*i16", w, w, w], BLOCK=256)
    centred = int(w == "*fp32")
    pointers = [w, w, w, "*i64", "*i16", w, w]
    assert compiled(normalization.normalize_row, pointers, CENTRED=centred, EPS=1e-7, **ROW)
    pointers = [w, w, w, "*i16", *[w] * 4]
    assert compiled(normalization.normalization_gradient, pointers, CENTRED=centred, BLOCK=256)


@pytest.mark.parametrize("name", ["quantize_activation", "project", "normalize"])
def test_they_are_the_kernels_of_the_operators(name: str) -> None:
    for operator in (name, f"{name}_gradients"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"brevitas_a2q::{operator}", "CUDA")
    assert accelerator._found("gpu", "project") is not None


def test_without_triton_tensor_operations_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_found", lambda *_: None)
    assert accelerator.on_gpu("gpu", "project", lambda value: value + 1)(2) == 3
