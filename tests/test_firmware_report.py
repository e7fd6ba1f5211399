"""Images for microcontrollers in runs, tables and claims."""

from pathlib import Path

import pytest

from dlmi_bench.errors import UnavailableError
from dlmi_bench.extras import is_installed
from dlmi_bench.firmware.targets import TARGETS
from dlmi_bench.jobs import firmware
from dlmi_bench.jobs.protocol import FirmwareRequest
from dlmi_bench.records import Cell, Figure, Record, unavailable
from dlmi_bench.store import Store
from dlmi_reports.claims.verdicts import ClaimVerdict as Verdict
from dlmi_reports.claims.verdicts import judge_store
from dlmi_reports.results.load import load_results
from dlmi_reports.tables.chips import CHIPS, find_shortage
from dlmi_reports.tables.firmware import make_firmware_tables
from report_stores import measured_records, train_record

CLAIM = """
[[claim]]
id = "a"
sentence = "It has room."
source = "us"
kind = "fits"
task = "toy"
model = "{model}"
"""


def make_record(model: str, flash: int, ram: int, target: str = "cortex-m0plus") -> Record:
    values = {"flash_bytes": flash, "ram_bytes": ram, "n_instructions": 32_000.4}
    figures = [
        Figure(name=name, value=value, kind="counted", source="ELF file", conditions={"target": target})
        for name, value in values.items()
    ]
    accuracy = Figure(
        name="image_accuracy", value=0.95, lo=0.94, hi=0.96, kind="simulated", source="x", conditions={"target": target}
    )
    return Record(cell=Cell(kind="firmware", task="toy", model=model), figures=(*figures, accuracy))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A net for the smallest chip, a large one, and one whose image could not be made."""
    store, lacking = Store(tmp_path), Cell(kind="firmware", task="toy", model="c")
    missing = tuple(unavailable(name, "no compiler", target="cortex-m0plus") for name in firmware.NAMES)
    records = [make_record("a", 1192, 972), make_record("b", 9000, 1500), Record(cell=lacking, figures=missing)]
    for model, n in (("a", 628), ("b", 9000), ("c", 10)):
        records += [train_record(model, 0, 0.95, 1.0), *measured_records(model, n, 1e-5)]
    store.add_done([(record, "f") for record in records])
    return store


def test_tables_say_what_fits_where(store: Store) -> None:
    """Bytes as counted; each chip of the family has room for a net or says what is short; other families are absent."""
    images, chips = make_firmware_tables(load_results(store).tasks["toy"])
    rows = {row[0]: row[1:] for row in images.rows}
    assert rows["a"] == ["cortex-m0plus", "1 192", "972", "32 000", "95.0 [94.0, 96.0]"]
    assert all("n/a" in cell for cell in rows["c"][2:])
    found = {row[0]: row[4:] for row in chips.rows}
    assert found["MSPM0C1103"] == ["a", "b (flash and RAM)"]
    assert found["MSPM0C1104"] == ["a", "b (RAM)"]
    assert found["STM32L011x4"] == ["a, b", "none"]
    assert {row[1] for row in chips.rows} == {"cortex-m0plus"}


def test_stores_without_images_have_no_table(tmp_path: Path) -> None:
    """Nothing is shown of what was never asked for."""
    store = Store(tmp_path)
    store.add_done([(record, "f") for record in (train_record("a", 0, 0.9, 1.0), *measured_records("a", 10, 1e-5))])
    assert make_firmware_tables(load_results(store).tasks["toy"]) == []


def test_chips_are_of_known_families() -> None:
    """Each is of a target that images are made for; an image that fills a chip fits, one byte more does not."""
    assert {chip.target for chip in CHIPS} == set(TARGETS)
    for chip in CHIPS:
        assert find_shortage(chip, chip.flash_bytes, chip.ram_bytes) == ""
        assert find_shortage(chip, chip.flash_bytes + 1, chip.ram_bytes) == "flash"
        assert find_shortage(chip, chip.flash_bytes, chip.ram_bytes + 1) == "RAM"


@pytest.mark.parametrize(
    ("model", "limits", "verdict"),
    [
        ("a", "flash_bytes = 1192\nram_bytes = 972", Verdict.supported),
        ("a", "flash_bytes = 1191", Verdict.refuted),
        ("a", "flash_bytes = 2048\nram_bytes = 971", Verdict.refuted),
        ("a", 'flash_bytes = 2048\ntarget = "rv32imc"', Verdict.not_measured),
        ("c", "flash_bytes = 2048", Verdict.not_measured),
    ],
)
def test_claim_of_room_is_exact(store: Store, model: str, limits: str, verdict: Verdict) -> None:
    """At the limit it holds, a byte below it is refuted; without an image it is not measured."""
    path = store.folder / "mine.toml"
    path.write_text(CLAIM.format(model=model) + limits, encoding="utf-8")
    (judged,) = judge_store(store, path).judgements
    assert judged.verdict is verdict
    if verdict is Verdict.supported:
        assert any("1 192 bytes of flash; claimed: at most 1 192; exact" in line for line in judged.evidence)


def test_missing_tools_are_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a compiler every figure of every target says so, and the run goes on."""
    path = tmp_path / "a.onnx"
    path.write_bytes(b"")

    def refuse(*_: object, **__: object) -> None:
        raise UnavailableError("images need the package ziglang", "install it")

    monkeypatch.setattr(firmware, "make_firmware", refuse)
    monkeypatch.setattr(firmware, "load_examples", lambda *_: None)
    request = FirmwareRequest(task="usps", seed_index=0, path=str(path), targets=tuple(TARGETS))
    figures = firmware.run_firmware_job(request, lambda *_: None)
    assert [(f.name, f.conditions["target"]) for f in figures] == [(n, t) for t in TARGETS for n in firmware.NAMES]
    assert {(f.value, f.reason) for f in figures} == {(None, "images need the package ziglang")}


@pytest.mark.slow
@pytest.mark.skipif(not is_installed("unicorn"), reason="the extra mcu is not installed")
def test_run_makes_images(tmp_path: Path) -> None:
    """A suite with the measure gives bytes, instructions and an accuracy for each target."""
    from dlmi_bench.api import run
    from dlmi_bench.suite.suites import Suite

    suite = Suite(tasks=("usps",), models=("softmax",), measures=("firmware",), backends=("onnxruntime",), n_seeds=1)
    run(suite, out=tmp_path)
    record = next(a.record for key, a in Store(tmp_path).current().items() if key.startswith("firmware/"))
    assert record is not None
    for target in TARGETS:
        values = {name: record.figure(name, target=target).value for name in firmware.NAMES}  # type: ignore[union-attr]
        assert 2570 < values["flash_bytes"] < 3000  # type: ignore[operator]
        assert values["image_accuracy"] == pytest.approx(0.91, abs=0.02)
