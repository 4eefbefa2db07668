"""Trees of arguments, as ``torch.utils._pytree`` has them, at a fraction of the time where they are plain ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from brevitas_a2q._brevitas import _pytree

__all__ = ["leaves", "mapped", "tensors_in"]

_LEAVES: Final = (Tensor, int, float, complex, str, type(None), torch.dtype, torch.device)


def leaves(tree: Any) -> list[Any]:
    """Leaves in their order.

    Example:
        >>> leaves(([1, None], {"a": (2.0,)}))
        [1, None, 2.0]
    """
    found: list[Any] = []
    _gather(tree, found, ())
    return found


def tensors_in(tree: Any) -> list[Tensor]:
    """Leaves that are tensors."""
    return [leaf for leaf in leaves(tree) if isinstance(leaf, Tensor)]


def _gather(tree: Any, found: list[Any], around: tuple[Any, ...]) -> None:
    kind = type(tree)
    if kind is tuple or kind is list or kind is dict:
        if any(tree is each for each in around):  # a list that holds itself
            return
        for value in tree.values() if kind is dict else tree:
            _gather(value, found, (*around, tree))
    elif isinstance(tree, _LEAVES):
        found.append(tree)
    else:
        found += _pytree.tree_leaves(tree)


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree of other leaves.

    Example:
        >>> mapped(str, ([1, None], {"a": (2.0,)}))
        (['1', 'None'], {'a': ('2.0',)})
    """
    kind = type(tree)
    if kind is tuple or kind is list:
        return kind([mapped(function, value) for value in tree])
    if isinstance(tree, _LEAVES):
        return function(tree)
    if kind is dict:
        return {key: mapped(function, value) for key, value in tree.items()}
    return _pytree.tree_map(function, tree)
