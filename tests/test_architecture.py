"""The picture of the floors is that of the import contract."""

import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="not a checkout")
def test_picture_shows_the_floors_of_the_contract() -> None:
    """The same rooms on the same floors, in the same order."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [set(layer.replace("|", " ").replace(":", " ").split()) for layer in contracts[0]["layers"]]
    picture = ElementTree.parse(ROOT / "docs" / "architecture.svg")  # noqa: S314 - our own file
    drawn = []
    for floor in picture.iter(f"{SVG}g"):
        words = " ".join(text.text or "" for text in floor.iter(f"{SVG}text") if text.get("class") == "room").split()
        drawn.append({word if word.startswith("dlmi_") else f"dlmi_bench.{word}" for word in words})
    assert drawn == layers


def test_exhaustive_contract_has_the_same_floors() -> None:
    """The contract that names every module of the harness is the first one without the other packages."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    every, own = (
        [set(layer.replace("|", " ").replace(":", " ").split()) for layer in c["layers"]] for c in contracts[:2]
    )
    inside = [{name.removeprefix("dlmi_bench.") for name in layer if name.startswith("dlmi_bench.")} for layer in every]
    assert own == inside
