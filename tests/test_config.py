"""The configuration: rules, YAML, and what is refused."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brevitas_a2q._config import METHODS, A2QConfig, LayerRule
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models import QuantSpec


def test_later_rules_win_and_unset_values_are_inherited() -> None:
    config = A2QConfig(
        accumulator_bit_width=16,
        rules=(
            LayerRule("layer?.*", accumulator_bit_width=12, method="a2q"),
            LayerRule("layer2.*", accumulator_bit_width=10),
        ),
    )
    assert config.for_layer("stem.conv").accumulator_bit_width == 16
    assert config.for_layer("layer1.conv").accumulator_bit_width == 12
    second = config.for_layer("layer2.conv")
    assert (second.accumulator_bit_width, second.method, second.skip) == (10, "a2q", None)


@given(
    st.builds(
        A2QConfig,
        accumulator_bit_width=st.integers(2, 64),
        method=st.sampled_from(METHODS),
        weight_bit_width=st.none() | st.integers(2, 16),
        tile=st.none() | st.integers(1, 512),
        skip_first_and_last=st.booleans(),
        hand_multiplied=st.booleans(),
        rules=st.lists(
            st.builds(LayerRule, pattern=st.sampled_from(["*", "a.b", "conv?"]), skip=st.none() | st.booleans())
        ).map(tuple),
    )
)
def test_yaml_round_trip(tmp_path_factory: pytest.TempPathFactory, config: A2QConfig) -> None:
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    config.to_yaml(path)
    assert A2QConfig.from_yaml(path) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"acumulator_bit_width": 12}, "did you mean 'accumulator_bit_width'?"),
        ({"rules": [{"pattern": "*", "wieght_bit_width": 4}]}, "rule 1.*did you mean 'weight_bit_width'?"),
        ({"accumulator_bit_width": 1}, "found accumulator_bit_width = 1; expected an integer from 2 to 64"),
        ({"accumulator_bit_width": 65}, "from 2 to 64"),
        ({"accumulator_bit_width": True}, "found accumulator_bit_width = True"),
        ({"accumulator_bit_width": None}, "expected a value"),
        ({"accumulator_bit_width": 12.0}, "found accumulator_bit_width = 12.0"),
        ({"method": "projection"}, "did you mean 'projected'?"),
        ({"skip_first_and_last": "yes"}, "expected true or false"),
        ({"tile": 0}, "at least 1"),
        ({"rules": [{"method": "a2q"}]}, "found no pattern"),
        ({"rules": "*"}, "a list of rules"),
        ({"rules": ["*"]}, "rule 1"),
        ({"rules": [{"pattern": "conv*", "accumulator_bit_width": 99}]}, "rule 'conv\\*'.*found .* = 99"),
    ],
)
def test_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", "\\?")):
        A2QConfig.from_dict(values)


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        A2QConfig.from_yaml(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("rules: [", encoding="utf-8")
    with pytest.raises(ConfigError, match="is no YAML"):
        A2QConfig.from_yaml(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1", encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a mapping"):
        A2QConfig.from_yaml(tmp_path / "list.yaml")


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    assert A2QConfig.from_yaml(tmp_path / "empty.yaml") == A2QConfig()


def test_no_method_leaves_every_sum_unbounded() -> None:
    config = A2QConfig(method="none", rules=(LayerRule("head", method="a2q"),))
    assert config.for_layer("stem").skip is True
    assert config.for_layer("head").skip is None


def test_a_networks_spec_and_a_conversion_are_the_same_settings() -> None:
    spec = QuantSpec("a2q", 3, 5, 12, boundary_bit_width=6)
    config = spec.conversion({"layer1.*": 10})
    assert {name: getattr(config, name) for name in asdict(spec)} == asdict(spec)
    assert config.for_layer("layer1.conv").accumulator_bit_width == 10


def test_the_old_name_of_the_boundary_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="boundary_bit_width now"):
        assert A2QConfig(exempt_bit_width=6).boundary_bit_width == 6
    with pytest.warns(DeprecationWarning, match="boundary_bit_width now"):
        assert A2QConfig.from_dict({"exempt_bit_width": 6}) == A2QConfig(boundary_bit_width=6)
