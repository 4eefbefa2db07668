"""Space files: what is refused and how, the order of cells, and names of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy import ToyConfig

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.sweep._space import Space


def space(**values: Any) -> Space:
    return Space.from_dict(values, ToyConfig)


def test_the_first_axis_varies_slowest_and_grids_follow_each_other() -> None:
    found = space(grid=[{"seed": [0, 1], "M, N": [[4, 4], [3, 5]]}, {"seed": [1, 2], "M": [4]}])
    key_m, key_n = "quant.weight_bit_width", "quant.activation_bit_width"
    assert list(found.cells.values()) == [
        {"seed": 0, key_m: 4, key_n: 4},
        {"seed": 0, key_m: 3, key_n: 5},
        {"seed": 1, key_m: 4},  # the same run as {"seed": 1, M: 4, N: 4}, in its place
        {"seed": 1, key_m: 3, key_n: 5},
        {"seed": 2, key_m: 4},
    ]


def test_a_run_is_named_by_its_configuration_and_not_by_the_way_to_it() -> None:
    of_base = space(
        base={"quant": {"method": "a2q"}, "runtime": {"device": "cuda"}, "data_root": "/x"}, grid={"P": [9]}
    )
    of_grid = space(grid={"method": ["a2q", "a2q+"], "P": [9]})
    first, second = of_grid.cells
    assert [first] == list(of_base.cells)
    assert first != second
    assert all(len(run) == 16 for run in of_grid.cells)


def test_a_whole_field_is_set_before_its_parts() -> None:
    found = space(grid={"recipe.epochs": [7], "recipe": [{"learning_rate": 0.5}]})
    (settings,) = found.cells.values()
    assert found.values(settings)["recipe"] == {"learning_rate": 0.5, "epochs": 7}


def test_a_recipe_by_name_can_have_its_keys_changed() -> None:
    found = space(grid={"recipe": ["one-cycle"], "rate": [0.5]})
    (settings,) = found.cells.values()
    assert found.values(settings)["recipe"] == {"base": "one-cycle", "learning_rate": 0.5}


def test_rules_on_layers_and_options_take_keys_with_dots() -> None:
    found = space(search={"layer_rules.layer3.*.conv?": {"low": 9, "high": 16}, "model_options.width.scale": [1, 2]})
    values = found.values({"layer_rules.layer3.*.conv?": 12, "model_options.width.scale": 2})
    assert values["layer_rules"] == {"layer3.*.conv?": 12}
    assert values["model_options"] == {"width.scale": 2}
    assert ToyConfig.from_dict(values).layer_rules == {"layer3.*.conv?": 12}


def test_a_nested_field_that_is_none_in_the_base_can_be_set() -> None:
    found = space(base={"quant": None}, grid={"P": [9]})
    (settings,) = found.cells.values()
    assert found.values(settings)["quant"] == {"accumulator_bit_width": 9}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"grid": {"learning_rat": [1]}}, "did you mean 'recipe.learning_rate'"),
        ({"grid": {"learning_rate": [1]}}, "did you mean 'recipe.learning_rate'"),
        ({"grid": {"quant.metod": ["a2q"]}}, "did you mean 'quant.method'"),
        ({"grid": {"seed.more": [1]}}, "unknown key 'seed.more'"),
        ({"search": {"Z": [1, 2]}}, "space, search: found the unknown key 'Z'; expected a key of ToyConfig, with dots"),
        ({"grid": {"seed": 3}}, "expected a list of values"),
        ({"grid": {"seed": []}}, "expected a list of values"),
        ({"grid": {"M, N": [[1, 2], [3]]}}, "expected lists of 2 values"),
        ({"grid": []}, "space, grid: found no cell"),
        ({"grid": {"P": [9], "quant.accumulator_bit_width": [12]}}, "found a key twice in"),
        ({"grid": {"P, quant.accumulator_bit_width": [[9, 12]]}}, "found a key twice in"),
        ({"search": {"P": [9], "quant.accumulator_bit_width": [12]}}, "found a key twice in"),
        ({"grid": {"P": [9]}, "trials": 3, "sampler": "tpe"}, "found sampler, trials beside grid"),
        ({"search": {"P": [9]}, "objectives": ["lut"], "base": {"estimate": None}}, "a base with an `estimate`"),
        ({"grid": {"quant": [3], "P": [9]}}, "found quant = 3 where its accumulator_bit_width is to be set"),
        ({"search": {"quant": [None, 3], "P": {"low": 9, "high": 12}}}, "found quant = 3 where its accumulator_bit"),
        (
            {"grid": {"P": [9, "a"]}},
            "cell quant.accumulator_bit_width = a: run, quant: found accumulator_bit_width = 'a'",
        ),
        ({"grid": [[1]]}, "expected a mapping of keys to lists"),
        ({"grid": {"seed": [1]}, "search": {"seed": [1]}}, "expected one of them"),
        ({}, "expected one of them"),
        ({"gird": {"seed": [1]}}, "did you mean 'grid'"),
        ({"grid": {"runtime.device": ["cpu"]}}, "set it in the base"),
        ({"grid": {"data_root": ["/"]}}, "set it in the base"),
        ({"grid": {"seed": [1]}, "objectives": ["metrik"]}, "did you mean 'metric'"),
        ({"grid": {"seed": [1]}, "objectives": ["lut", "lut"]}, "expected each one once"),
        ({"grid": {"seed": [1]}, "name": "../up"}, "expected letters"),
        ({"grid": {"seed": [1]}, "base": {"sed": 1}}, "did you mean 'seed'"),
        ({"search": {"P": {"low": 12, "high": 9}}}, "expected low <= high"),
        ({"search": {"P": {"lo": 12}}}, "did you mean 'low'"),
        ({"search": {"P": 7}}, "expected a list of choices"),
        ({"search": {"P": [9, 9]}}, "expected each choice once"),
        ({"search": {"P": [9]}, "trials": 0}, "expected at least 1"),
        ({"search": {"P": [9]}, "sampler": "nsga3"}, "did you mean 'nsga2'"),
    ],
)
def test_what_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space(**values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_choices_that_are_no_plain_values_come_back_as_they_were() -> None:
    found = space(search={"layer_rules": [{"a.*": 9}, {"a.*": 12}]}).search["layer_rules"]
    assert [found.value(held) for held in found.choices] == [{"a.*": 9}, {"a.*": 12}]
    with pytest.raises(ConfigError):
        found.value('{"a.*": 13}')


def test_files(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("recipe: {epochs: 9}")
    file = tmp_path / "mine.yaml"
    file.write_text("base: base.yaml\ngrid: {seed: [0, 1]}")
    found = Space.from_yaml(file, ToyConfig)
    assert (found.name, found.base["recipe"]["epochs"], len(found.cells)) == ("mine", 9, 2)
    file.write_text("base: nowhere.yaml\ngrid: {seed: [0, 1]}")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        Space.from_yaml(file, ToyConfig)
