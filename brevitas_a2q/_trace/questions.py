"""Code of a model that asks whether gradients are on, and may go another way where they are.

No mode of PyTorch sees ``torch.is_grad_enabled()``, so another function stands in for it while a model is traced.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import torch
from torch import Tensor

__all__ = ["answers_by_gradients", "is_users", "questions", "run_both_ways"]

_ASK: Final[ContextVar[Callable[[], Any] | None]] = ContextVar("who is told of questions", default=None)
_LOCK: Final = threading.Lock()
_TRUE: Final = torch.is_grad_enabled
_OF_TENSORS: Final = (Tensor.requires_grad, Tensor.grad_fn)
_OTHERS: Final = ("torch", "numpy", "brevitas", "brevitas_a2q")  # whose answers are the same numbers
_active = 0  # traces in any thread


def answers_by_gradients(func: Any) -> bool:
    """Whether a function that PyTorch hands to modes is one that reads whether a tensor takes part in gradients."""
    return any(getattr(func, "__self__", None) is attribute for attribute in _OF_TENSORS)


def run_both_ways(asked: dict[str, None], model: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Run a model, and where it asks whether gradients are on, once more with them.

    Args:
        asked: Places that ask, which the run fills; empty afterwards, unless the model does not run with gradients.
        model: What runs, without gradients.
        args: What it is given.
        kwargs: By keyword.
    """
    model(*args, **kwargs)
    if not asked:
        return
    try:
        with torch.enable_grad():
            model(*map(_differentiable, args), **{name: _differentiable(value) for name, value in kwargs.items()})
    except RuntimeError:  # such as a conversion to NumPy
        return
    asked.clear()


def _differentiable(value: Any) -> Any:
    """A tensor that takes part in gradients, and may be written."""
    is_real = type(value) is Tensor and value.is_floating_point() and not value.is_inference()
    return value.detach().requires_grad_().clone() if is_real else value


def is_users(depth: int) -> bool:
    """Whether the code so many calls above is the user's."""
    return str(sys._getframe(depth).f_globals.get("__name__", "")).partition(".")[0] not in _OTHERS


def _is_grad_enabled() -> bool:
    ask = _ASK.get()
    if ask is not None and is_users(2):
        ask()
    return _TRUE()


@contextmanager
def questions(ask: Callable[[], Any]) -> Iterator[None]:
    """While active, ``ask`` is called where the user's code asks PyTorch, in this context, whether gradients are on."""
    global _active
    token = _ASK.set(ask)
    with _LOCK:
        _active += 1
        torch.is_grad_enabled = _is_grad_enabled
    try:
        yield
    finally:
        _ASK.reset(token)
        with _LOCK:
            _active -= 1
            if not _active:
                torch.is_grad_enabled = _TRUE
