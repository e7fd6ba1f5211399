"""Functions about single models: what one costs, on every runtime, beside others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlmi_bench.api.answer import Answer, list_figures
from dlmi_bench.errors import UsageError, list_choices, require

if TYPE_CHECKING:
    from torch import nn

    from dlmi_bench.comparing.comparison import Comparison
    from dlmi_bench.jobs.protocol import OnProgress
    from dlmi_bench.jobs.subject import Subject
    from dlmi_bench.profiling.profile import Profile
    from dlmi_bench.records import Figure

    Network = nn.Module | Callable[..., nn.Module]

# Batch first, as numbers or words; of an ONNX file with several inputs by name.
InputShape = Sequence[int] | str | Sequence[str] | Mapping[str, Sequence[int]] | None


def count(
    model: "str | Network",
    *,
    input_shape: InputShape = None,
    n_classes: int | None = None,
    output: str = "",
    batch_axis: int | None = None,
) -> "Answer[list[Figure]]":
    """Count parameters, multiply-accumulates, activations and FLOPs of training. Nothing is timed.

    Args:
        model: A registered model, the path of an ONNX file, `package.module:factory` or `net.py:factory` of your own,
            or a network or what makes one.
        input_shape: Shape of the input, batch first, for instance (1, 1, 50, 50) or "1,1,50,50"; needed for a factory.
            Of an ONNX file with several inputs by name: {"ids": (1, 128), "mask": (1, 128)}; or "examples.npz", whose
            arrays `profile` then takes in place of random ones.
        n_classes: For a factory that asks for it.
        output: Output of an ONNX file that holds the scores; found by itself where it can be.
        batch_axis: Axis of the examples in the inputs of an ONNX file; found by itself where it has a name.

    Returns:
        Figures, one a row.

    Raises:
        UsageError: no such model, or the model does not take this input.
        DataError: the file is not an ONNX file.

    Example:
        >>> import dlmi_bench
        >>> counts = dlmi_bench.count("mlp-64-32")
        >>> [figure.value for figure in counts.content if figure.name == "n_parameters"]
        [18858.0]
    """
    from dlmi_bench.jobs.protocol import CountsRequest
    from dlmi_bench.jobs.worker import Worker, run_here
    from dlmi_bench.profiling.text import format_counts
    from dlmi_bench.units import clean_line

    subject = _choose_subject(model, input_shape, n_classes, output=output, batch_axis=batch_axis)
    request = CountsRequest(subject=subject)
    if subject.kind == "object":
        figures = [*run_here(request, lambda *_: None)]
    else:
        with Worker() as worker:  # a module of the user's runs there
            figures = [*worker.ask(request)]
    head = f"{clean_line(_name_subject(model, subject))}, one example of {subject.shape_text}"
    return Answer(figures, list_figures(figures), "\n".join([head, *format_counts(figures)]))


def profile(
    model: "str | Network",
    *,
    input_shape: InputShape = None,
    n_classes: int | None = None,
    output: str = "",
    batch_axis: int | None = None,
    backends: Iterable[str] = (),
    batches: Iterable[int] = (),
    threads: int = 1,
    test: str | Path | None = None,
    budget_s: float = 55.0,
    on_progress: "OnProgress" = lambda *_: None,
) -> "Answer[Profile]":
    """Measure latency, memory, energy and agreement with float64 of one model on every runtime.

    Args:
        model: See `count`.
        input_shape, n_classes, output, batch_axis: See `count`.
        backends: Names of runtimes; all by default.
        batches: Batch sizes; the one of `input_shape` by default.
        threads: Of each runtime.
        test: Test set of an ONNX file, see `compare_files`: gives the accuracy, and the inputs.
        budget_s: Time after which no further process is started [s].
        on_progress: Called with what is being done and the fraction that is done.

    Returns:
        The profile; one row for each figure of each runtime.

    Raises:
        UsageError, DataError: see `count`.

    Example:
        >>> import dlmi_bench
        >>> measured = dlmi_bench.profile("softmax", backends=["onnxruntime"], budget_s=0)
        >>> bool((measured.to_dataframe().query("name == 'latency_s'")["value"] < 1e-3).all())
        True
    """
    from dlmi_bench.backends import BACKENDS
    from dlmi_bench.jobs.inputs import load_labelled
    from dlmi_bench.profiling.profile import profile_model
    from dlmi_bench.profiling.text import format_profile

    labelled = load_labelled(Path(test)) if test else None
    if test and not (isinstance(model, str) and model.endswith(".onnx")):
        raise UsageError("--test is for ONNX files", "other models are not trained; train them with `run`")
    input_shape = input_shape or (str(test) if test else None)
    subject = _choose_subject(model, input_shape, n_classes, output=output, batch_axis=batch_axis)
    names = _check_backends(tuple(backends))
    sizes = tuple(dict.fromkeys(batches)) or (subject.batch,)
    chosen = names or tuple(BACKENDS)
    measured = profile_model(
        subject, chosen, sizes, budget_s=budget_s, on_progress=on_progress, n_threads=threads, test=labelled
    )
    figures = [*measured.counts, *(figure for row in measured.rows for figure in row.figures), *measured.peaks]
    return Answer(measured, list_figures(figures), format_profile(measured, _name_subject(model, subject)))


def compare_files(
    files: Iterable[str | Path],
    *,
    test: str | Path | None = None,
    reference: str | None = None,
    backends: Iterable[str] = ("onnxruntime",),
    batches: Iterable[int] = (),
    threads: Iterable[int] = (1,),
    input_shape: InputShape = None,
    output: str = "",
    batch_axis: int | None = None,
    n_processes: int = 5,
    out: str | Path = "out/compare",
    on_progress: "OnProgress" = lambda *_: None,
) -> "Answer[Comparison]":
    """Measure ONNX files side by side in one session: accuracy, agreement, counts, memory, latency and energy.

    Args:
        files: Paths of the files; their names must differ.
        test: An .npz file with the classes `y` and the examples `x`, or an array for each input of the files.
        reference: File that the latency of the others is a multiple of; the first by default.
        backends: Names of runtimes that load ONNX files, and that this machine has.
        batches: Batch sizes; by default 1, or the only one that a file takes.
        threads: Numbers of threads, each in processes of its own.
        input_shape, output, batch_axis: See `count`.
        n_processes: Fresh processes behind each latency.
        out: Folder that keeps the records; `report` and `judge_claims` read it.
        on_progress: See `profile`.

    Returns:
        The comparison; one row for each file, runtime, number of threads and batch.

    Raises:
        UsageError, DataError: there is no such file, it is no ONNX file, or the test set is none.
        UnavailableError: this machine cannot run one of the backends.

    Example:
        >>> import dlmi_bench
        >>> found = dlmi_bench.compare_files([onnx_file], n_processes=2, out=f"{out}/compared")
        >>> found.to_dataframe().columns[:3].tolist()
        ['model', 'backend', 'threads']
    """
    from dlmi_bench.comparing.comparison import compare_subjects
    from dlmi_bench.comparing.settings import CompareSettings, check_onnx_backends
    from dlmi_bench.comparing.text import format_comparison
    from dlmi_bench.jobs.inputs import load_labelled
    from dlmi_bench.jobs.subject import parse_subject

    words = _write_shapes(input_shape) or ([str(test)] if test else [])
    subjects = [parse_subject(str(file), words, output=output, batch_axis=batch_axis) for file in files]
    if not subjects or any(subject.kind != "file" for subject in subjects):
        raise UsageError("compare_files takes ONNX files", "name files that end in .onnx; `compare` takes networks")
    labelled = (Path(test).stem, load_labelled(Path(test))) if test else None
    settings = CompareSettings(
        backends=check_onnx_backends(_check_backends(backends)),
        batches=tuple(batches) or (max(subject.batch for subject in subjects),),
        threads=tuple(threads),
        n_processes=n_processes,
    )
    found = compare_subjects(subjects, labelled, settings, Path(out), on_progress, reference=reference)
    return Answer(found, found.rows, format_comparison(found))


def _choose_subject(
    model: "str | Network", input_shape: InputShape, n_classes: int | None, *, output: str, batch_axis: int | None
) -> "Subject":
    from dlmi_bench.jobs.plugins import load_entry_points
    from dlmi_bench.jobs.subject import adopt_subject, parse_subject

    load_entry_points()
    words = _write_shapes(input_shape)
    if isinstance(model, str):
        subject = parse_subject(model, words, output=output, batch_axis=batch_axis)
    else:
        subject = adopt_subject(model, words[0] if words else None)
    if subject.kind != "file":
        require("torch", _name_subject(model, subject))
    return subject.model_copy(update={"n_classes": n_classes})


def _name_subject(model: "str | Network", subject: "Subject") -> str:
    return model if isinstance(model, str) else subject.name


def _check_backends(names: Iterable[str]) -> tuple[str, ...]:
    from dlmi_bench.backends import BACKENDS

    for name in names:
        if name not in BACKENDS:
            raise UsageError(f"no backend {name!r}", list_choices(name, BACKENDS))
    return tuple(dict.fromkeys(names))


def _write_shapes(shape: InputShape) -> list[str]:
    """Write shapes as the words of the command line."""
    if isinstance(shape, Mapping):
        return [f"{name}={','.join(map(str, sizes))}" for name, sizes in shape.items()]
    if not shape:
        return []
    if isinstance(shape, str):
        return [shape]
    if any(isinstance(part, str) for part in shape):
        return [str(part) for part in shape]
    return [",".join(map(str, shape))]
