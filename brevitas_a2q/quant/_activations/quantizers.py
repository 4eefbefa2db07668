"""The fused form of every integer activation quantizer of Brevitas, by its name with ``Fused`` in front.

Those with integers of one scale per tensor or channel; binary, ternary and block formats have none.
"""

from __future__ import annotations

from typing import Any

from brevitas.quant import fixed_point, scaled_int, shifted_scaled_int

from brevitas_a2q.quant._activations.injectors import fused

_BASES: dict[str, Any] = {
    f"Fused{name}": getattr(module, name)
    for module in (scaled_int, fixed_point, shifted_scaled_int)
    for name in module.__all__
    if "int8Act" in name or name.startswith("Int8Act")
}

__all__ = sorted(_BASES)


def _ready(name: str, base: Any) -> Any:
    return type(base)(name, (fused(base),), {"__module__": __name__, "__doc__": f"{name}: see the module."})


globals().update({name: _ready(name, base) for name, base in _BASES.items()})
