"""The names that stay put are callables or modules, in whatever order things are imported."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import brevitas_a2q
from brevitas_a2q import hw


def import_everything() -> None:
    """Import every module, so that submodules had their chance to hide a name."""
    for module in pkgutil.walk_packages(brevitas_a2q.__path__, "brevitas_a2q."):
        importlib.import_module(module.name)


@pytest.mark.parametrize(
    "name",
    [
        "Int8A2QWeightPerChannelFloat",
        "Int8A2QPlusWeightPerChannelFloat",
        "Int8ProjectedA2QWeightPerChannelFloat",
        "accumulator_aware",
        "constrain_",
        "a2q_penalty",
        "ep_init_",
        "certify",
        "simulate",
        "export_qonnx",
    ],
)
def test_names_of_the_package(name: str) -> None:
    import_everything()
    assert callable(getattr(brevitas_a2q, name))


@pytest.mark.parametrize("name", ["estimate", "finn_node"])
def test_names_of_the_estimator(name: str) -> None:
    import_everything()
    assert callable(getattr(hw, name))


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = brevitas_a2q.no_such_name
