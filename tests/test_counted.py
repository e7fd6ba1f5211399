"""Counts of models that nobody has trained."""

from pathlib import Path

import pytest

from dlmi_bench.backends.export import write_torch
from dlmi_bench.errors import UnavailableError
from dlmi_bench.instruments.counts.weights import compute_safetensors_bytes
from dlmi_bench.jobs.counting import run_counts_job
from dlmi_bench.jobs.protocol import CountsRequest
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.records import Cell, Record
from dlmi_bench.store import Store
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.data import TaskData
from dlmi_bench.suite.measures import UNTRAINED, run_counts
from dlmi_bench.suite.suites import FULL_SIZE, Suite
from dlmi_models import MODELS
from dlmi_reports import write_export, write_report
from dlmi_reports.claims.verdicts import judge_store
from dlmi_reports.formats.registry import EXPORTS, FORMATS
from report_stores import fill_store

FILES = ("onnx", "c")  # formats that are made of trained files


@pytest.mark.parametrize("name", ["softmax", "resnet-c", "vit-c"])
def test_computed_size_is_that_of_the_file(name: str, tmp_path: Path) -> None:
    """To the byte, also with counters of batches among the weights."""
    shape = (1, 16, 16) if name == "softmax" else (1, 50, 50)
    network = MODELS[name].build(shape, 3)
    write_torch(network, name, shape, tmp_path / "a.safetensors", n_classes=3)
    about = {"model": f"{name} {'0' * 64} {'x'.join(map(str, shape))}:3"}
    assert compute_safetensors_bytes(network.state_dict(), about) == (tmp_path / "a.safetensors").stat().st_size
    request = CountsRequest(subject=Subject(kind="model", name=name, input_shape=shape, n_classes=3), is_sized=True)
    (size,) = (figure for figure in run_counts_job(request, lambda *_: None) if figure.name == "size_bytes")
    assert (size.value, size.conditions) == ((tmp_path / "a.safetensors").stat().st_size, {"artifact": "torch"})


def count_untrained(folder: Path, *names: str) -> list[Record]:
    """Counts of models on whole slices, as a suite makes them that trains none of them."""
    context = SuiteContext(Suite(), folder, TaskData(["spect"]))
    try:
        return run_counts(context, [Cell(kind="counts", task="spect", model=name) for name in names], lambda *_: None)
    finally:
        context.close()


def test_store_of_counts_alone_is_shown_in_every_format(tmp_path: Path) -> None:
    """Reports, exports and claims of nothing but counts, and of counts beside trained models."""
    (record,) = count_untrained(tmp_path, "softmax")
    assert record.figure("n_parameters").value == 50 * 50 * 3 + 3  # type: ignore[union-attr]
    assert record.figure("size_bytes", artifact="onnx").reason == UNTRAINED  # type: ignore[union-attr]
    alone, beside = Store(tmp_path / "alone"), fill_store(tmp_path / "beside")
    on_toy = record.model_copy(update={"cell": record.cell.model_copy(update={"task": "toy"})})
    for store, shown in ((alone, record), (beside, on_toy)):
        store.add_done([(shown, "f")])
        written = write_report(store, store.folder / "report", list(FORMATS))
        assert "softmax" in next(path for path in written if path.name == "details.md").read_text(encoding="utf-8")
        assert write_export(store, store.folder / "export", [name for name in EXPORTS if name not in FILES])
        judge_store(store, None)
        store.close()
    for name in FILES:
        with pytest.raises(UnavailableError, match="no training left an ONNX file"):
            write_export(Store(tmp_path / "alone", must_exist=True), tmp_path, [name])


@pytest.mark.slow
def test_claim_about_full_size_is_judged_without_training(tmp_path: Path) -> None:
    """VGG16 as published has more parameters than the two others."""
    store = Store(tmp_path)
    store.add_done([(record, "f") for record in count_untrained(tmp_path, *FULL_SIZE)])
    verdicts = {judged.claim.id: judged.verdict.value for judged in judge_store(store, None).judgements}
    assert verdicts["vgg16-full-fewest-parameters"] == "REFUTED"
