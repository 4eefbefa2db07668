"""Where a running model reads values of its input, which may lead another input elsewhere.

Most readings are operations that PyTorch dispatches, whose result or its shape depends on data. ``tolist``, ``numpy``,
the protocols behind ``np.asarray`` and DLPack, storages (so copies and files, too), text, and tensors made of a list of
others read memory directly, and are seen as calls instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from brevitas_a2q._trace.leaves import tensors_in
from brevitas_a2q._trace.questions import answers_by_gradients, is_users

__all__ = ["DirectReads", "depends_on_values", "place"]

_SHARED: Final = frozenset(
    ("numpy", "__array__", "__dlpack__", "data_ptr", "storage", "_typed_storage", "untyped_storage", "share_memory_")
)
_CHANGING: Final = frozenset({"apply_", "map_", "map2_"})  # by a function of Python, element by element
_DIRECT: Final = frozenset({"tolist", "__repr__", "__reduce_ex__", *_SHARED, *_CHANGING})
# Make a tensor of numbers, or of tensors that are read as numbers.
_FACTORIES: Final = frozenset({"tensor", "as_tensor", "asarray", "new_tensor", "new"})


def depends_on_values(func: Any, args: Any) -> bool:
    """Whether an operation hands numbers of its arguments to Python, or makes a shape of them."""
    if torch.Tag.data_dependent_output in func.tags or func._schema.name == "aten::is_nonzero":
        return True
    if torch.Tag.dynamic_output_shape not in func.tags:
        return False
    if func._schema.name != "aten::index":
        return True
    return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def place() -> str | None:
    """File and line of the model's code that is running; None where it is Brevitas', whose checks decide nothing."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        package = str(frame.f_globals.get("__name__", "")).split(".")[0]
        if package not in ("torch", "numpy", "brevitas_a2q"):
            break
        frame = frame.f_back
    if str(frame.f_globals.get("__name__", "")).split(".")[0] == "brevitas":
        return None
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"


class DirectReads(TorchFunctionMode):
    """While active, ``seen`` is called with every tensor whose memory Python reads without a dispatched operation.

    It is told, too, whether the memory is shared from then on, so that it can be written without being seen. For a deep
    copy ``copied`` is called instead, with the tensor and its copy.
    """

    def __init__(self, seen: Callable[[Tensor, bool], None], copied: Callable[[Tensor, Tensor], None]) -> None:
        super().__init__()
        self._seen, self._copied = seen, copied
        self.asked: dict[str, None] = {}  # places that ask whether gradients are on, in order

    def ask(self) -> None:
        """Note that the code of a model asks whether gradients are on."""
        where = place()
        if where is not None:
            self.asked[where] = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, given = getattr(func, "__name__", ""), kwargs or {}
        if name == "__deepcopy__" and type(args[0]) is Tensor:
            copy = func(*args, **given)
            self._copied(args[0], copy)
            return copy
        if name == "__deepcopy__":
            self._seen(args[0], False)
        if name in _DIRECT and args and isinstance(args[0], Tensor):
            if not str(sys._getframe(1).f_globals.get("__name__", "")).startswith("brevitas_a2q."):
                self._seen(args[0], name in _SHARED or name in _CHANGING)
        elif name in _FACTORIES:
            for nested in (value for value in (*args, *given.values()) if isinstance(value, (list, tuple))):
                for leaf in tensors_in(nested):
                    self._seen(leaf, False)
        elif name == "__get__" and answers_by_gradients(func) and is_users(2):
            self.ask()
        return func(*args, **given)
