"""Images for microcontrollers in the gate: bytes and instructions are exact costs."""

from pathlib import Path

import pytest

from dlmi_bench.extras import is_installed
from dlmi_bench.firmware.image import PACKAGES
from dlmi_bench.gating.checks import check_costs
from dlmi_bench.gating.settings import Settings
from dlmi_bench.gating.sides.baseline import Entry
from dlmi_bench.gating.sides.candidate import Candidate
from dlmi_bench.gating.sides.images import find_image_costs, make_image_costs
from dlmi_bench.gating.verdicts import Verdict
from test_firmware_report import make_record

BASE = {"n_parameters": 628}


def judge(before: dict[str, int], now: dict[str, int]) -> tuple[Verdict, str]:
    fields = {"task": "toy", "model": "a", "input_shape": (1, 16, 16), "data_sha256": {}, "artifacts": ()}
    entry = Entry.model_validate(fields | {"trainings": (), "costs": BASE | before, "operators": {}})
    candidate = Candidate(
        name="toy/a", paths={}, input_shape=(1, 16, 16), costs=BASE | now, operators={}, data_sha256={}, predictions={},
        has_same_weights=True,
    )  # fmt: skip
    decision = check_costs(entry, candidate, Settings())[0]
    return decision.verdict, decision.why


def test_one_byte_more_is_worse() -> None:
    """Flash, RAM and instructions of each target count exactly; what one side lacks cannot be compared."""
    before = find_image_costs([make_record("a", 1192, 972), make_record("b", 1, 1)], "toy", "a")
    assert before == {
        "flash_bytes on cortex-m0plus": 1192,
        "ram_bytes on cortex-m0plus": 972,
        "n_instructions on cortex-m0plus": 32_000,
    }
    assert judge(before, before)[0] is Verdict.SAME
    for name in before:
        assert judge(before, before | {name: before[name] - 1})[0] is Verdict.IMPROVED
        verdict, why = judge(before, before | {name: before[name] + 1})
        assert verdict is Verdict.REGRESSED
        assert why == f"{name} {before[name]} -> {before[name] + 1}"
    verdict, why = judge(before, {})
    assert verdict is Verdict.INCOMPARABLE
    assert "flash_bytes on cortex-m0plus" in why


def test_baselines_without_images_make_none(tmp_path: Path) -> None:
    """Nothing is built where the baseline has no such cost."""
    assert find_image_costs([], "toy", "a") == {}
    assert make_image_costs(BASE, "usps", tmp_path / "missing.onnx") == {}


@pytest.mark.skipif(not all(map(is_installed, PACKAGES)), reason="the extra mcu is not installed")
def test_images_of_a_file_are_made_again(tmp_path: Path) -> None:
    """The same file has the same costs each time, for the targets of the baseline alone."""
    import torch

    from dlmi_bench.backends.export import write_onnx
    from dlmi_models import MODELS

    torch.manual_seed(0)
    write_onnx(MODELS["softmax"].build(), (1, 16, 16), tmp_path / "a.onnx")
    wanted = {"flash_bytes on rv32imc": 1}
    first, second = (make_image_costs(wanted, "usps", tmp_path / "a.onnx") for _ in range(2))
    assert first == second
    assert {name.partition(" on ")[2] for name in first} == {"rv32imc"}
    assert 2570 < first["flash_bytes on rv32imc"] < 3000
