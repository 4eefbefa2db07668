"""Operators in torch's dispatcher: schema, kernels by device, shapes and gradient of each in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from brevitas_a2q._brevitas import dispatch_is_plain

__all__ = ["NAMESPACE", "Operator"]

NAMESPACE = "brevitas_a2q"

_LIBRARY = torch.library.Library(NAMESPACE, "FRAGMENT")
_PLAIN = (Tensor, nn.Parameter)


class Operator:
    """A registered operator.

    Called with plain tensors on a processor, outside of compilers and dispatch modes, it runs the kernel under an
    autograd node of its own: torch's way through its dispatcher comes to the same and takes longer than small kernels.

    Args:
        schema: Name and signature, without the namespace; the first argument is a tensor.
        cpu: Kernel for tensors on a processor.
        anywhere: The same as tensor operations, for every device without a kernel of its own.
        shapes: Empty tensors of what it returns, for tensors without data.
        cuda: Kernel for tensors on a GPU of NVIDIA or AMD; ``anywhere`` without it.
        save: What the gradient needs: ``save(ctx, inputs, output)``.
        gradient: ``gradient(ctx, *grads)``, one result for each argument; None for an operator that has none.
    """

    def __init__(
        self,
        schema: str,
        *,
        cpu: Callable[..., Any],
        anywhere: Callable[..., Any],
        shapes: Callable[..., Any],
        cuda: Callable[..., Any] | None = None,
        save: Callable[..., None] | None = None,
        gradient: Callable[..., Any] | None = None,
    ) -> None:
        name = schema.partition("(")[0]
        _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
        _LIBRARY.impl(name, cpu, "CPU")
        _LIBRARY.impl(name, anywhere, "CompositeExplicitAutograd")
        if cuda is not None:
            _LIBRARY.impl(name, cuda, "CUDA")
        torch.library.register_fake(f"{NAMESPACE}::{name}", shapes, lib=_LIBRARY)
        self._direct: Callable[..., Any] = cpu
        if gradient is not None and save is not None:
            torch.library.register_autograd(f"{NAMESPACE}::{name}", gradient, setup_context=save, lib=_LIBRARY)
            self._direct = _node(name, cpu, save, gradient)
        self.registered: Callable[..., Any] = getattr(getattr(torch.ops, NAMESPACE), name).default

    def __call__(self, *args: Any) -> Any:
        """Its result for arguments in order."""
        if torch.compiler.is_compiling() or not _runs_plainly(args):
            return self.registered(*args)
        return self._direct(*args)


def _runs_plainly(args: tuple[Any, ...]) -> bool:
    first = args[0]
    return type(first) in _PLAIN and first.is_cpu and dispatch_is_plain()


def _node(
    name: str, cpu: Callable[..., Any], save: Callable[..., None], gradient: Callable[..., Any]
) -> Callable[..., Any]:
    def forward(ctx: Any, *args: Any) -> Any:
        out = cpu(*args)
        save(ctx, args, out)
        return out

    members = {"forward": staticmethod(forward), "backward": staticmethod(once_differentiable(gradient))}
    node: Any = type(name, (torch.autograd.Function,), members)
    apply: Callable[..., Any] = node.apply
    return apply
