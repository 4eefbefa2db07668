"""docs/training.md says what the dataclasses say. `python tests/train/test_docs.py` writes its tables anew."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import yaml

from brevitas_a2q._settings import plain
from brevitas_a2q.hw._target import Target
from brevitas_a2q.models import QuantSpec
from brevitas_a2q.train._config import RunConfig, RuntimeConfig, StartConfig
from brevitas_a2q.train._recipes import RECIPES, Recipe

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
TABLES: dict[str, type[Any]] = {
    "run": RunConfig,
    "quant": QuantSpec,
    "recipe": Recipe,
    "start": StartConfig,
    "runtime": RuntimeConfig,
    "estimate": Target,
}
QUANT = {  # QuantSpec says these in comments
    "method": "`projected`, `a2q`, `a2q+`, or `none` for plain quantization.",
    "weight_bit_width": "M, of hidden layers.",
    "activation_bit_width": "N, of hidden layers.",
    "accumulator_bit_width": "P, of hidden layers; `layer_rules` changes single ones.",
    "boundary_bit_width": "Weights and inputs of the first and last layer.",
}


def meanings(kind: type[Any]) -> dict[str, str]:
    """What the docstring says of each field, in Markdown."""
    if kind is QuantSpec:
        return QUANT
    arguments = re.split(r"\n    (?=\w)", (kind.__doc__ or "").split("Args:\n")[1])[0]
    found = re.findall(r"^        (\w+): (.*(?:\n            .*)*)", arguments, re.MULTILINE)
    return {
        name: re.sub(r"\s+", " ", text.replace("None", "null")).replace("``", "`").replace('`"', "`").replace('"`', "`")
        for name, text in found
    }


def table(kind: type[Any]) -> str:
    """One row per field."""
    texts = meanings(kind)
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(kind):
        default = plain(getattr(kind(), field.name))
        if isinstance(default, dict) and default:
            shown = "see below"
        else:
            text = yaml.safe_dump(default, default_flow_style=True).strip().removesuffix("...").strip()
            shown = f"`{text}`"
        lines.append(f"| `{field.name}` | {shown} | {texts[field.name]} |")
    return "\n".join(lines)


def recipes() -> str:
    """One row per named recipe."""
    lines = ["| name | optimizer, rate | schedule | epochs | batch | weight decay |", "|---|---|---|---|---|---|"]
    for name, recipe in RECIPES.items():
        schedule = recipe.schedule
        if schedule == "step":
            schedule += f", x{recipe.factor:g} every {recipe.step_epochs}"
        elif schedule == "exponential":
            schedule += f", x{recipe.factor:g} per epoch"
        momentum = f", momentum {recipe.momentum:g}" if recipe.momentum else ""
        decay = f"{recipe.weight_decay:g} on {recipe.decay}"
        rate = f"{recipe.optimizer}, {recipe.learning_rate:g}{momentum}"
        lines.append(f"| `{name}` | {rate} | {schedule} | {recipe.epochs} | {recipe.batch_size} | {decay} |")
    return "\n".join(lines)


def rendered(page: str) -> str:
    """The page with every table as the code has it."""
    parts = {**{name: table(kind) for name, kind in TABLES.items()}, "recipes": recipes()}
    for name, text in parts.items():
        before, start, rest = page.partition(f"<!-- {name} -->\n\n")
        _, end, after = rest.partition("\n\n<!-- end -->")
        assert start, name
        assert end, name
        page = before + start + text + end + after
    return page


def test_the_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == rendered(page)


def test_the_examples_are_configurations() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        RunConfig.from_dict(yaml.safe_load(example))


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
