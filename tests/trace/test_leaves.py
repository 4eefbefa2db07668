"""Trees of arguments are PyTorch's own, and may hold themselves."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch.utils import _pytree

from brevitas_a2q._trace.leaves import leaves, mapped

TREES: tuple[Any, ...] = (
    1,
    [],
    (torch.float32, [2.0, None, ("a", {"x": 1, "y": [True]})]),
    OrderedDict(b=[1, 2], a=(3,)),
    [torch.Size([2, 3]), {"a": OrderedDict(z=(1,))}],
    torch.ones(2, 3).max(0),
)


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_leaves_are_those_of_pytorchs_trees(tree: Any) -> None:
    assert list(map(id, leaves(tree))) == list(map(id, _pytree.tree_leaves(tree)))
    assert mapped(id, tree) == _pytree.tree_map(id, tree)


def test_a_list_that_holds_itself_ends() -> None:
    tree: list[Any] = [1]
    tree += [tree, 2]
    assert leaves(tree) == [1, 2]
