"""A profile as text for a terminal."""

from typing import TYPE_CHECKING

from dlmi_bench.records import Note, list_marks
from dlmi_bench.units import clean_line, format_share

if TYPE_CHECKING:
    from dlmi_bench.profiling.profile import Profile
    from dlmi_bench.profiling.row import RuntimeProfile
    from dlmi_bench.records import Figure


WIDTH = 78  # of a note, so that the whole fits 80 columns


GIGA = 1e9


def format_profile(profile: "Profile", title: str) -> str:
    """The whole as text of 80 columns, latency first."""
    from dlmi_bench.profiling.native_text import format_native

    inputs = "inputs of the given file" if profile.subject.examples else "random inputs of a fixed seed"
    threads = "one thread" if profile.n_threads == 1 else f"{profile.n_threads} threads"
    lines = [f"{title}, one example of {profile.subject.shape_text}"]
    for batch in profile.batches:
        lines += ["", *_format_latency(profile, batch), *_format_rates(profile, batch)]
    lines += [*_explain_rates(profile), "", *_format_singles(profile), *format_native(profile)]
    lines += ["", *_format_costs(profile)]
    lines += [*_format_accuracies(profile), "", "counts"]
    lines += format_counts(profile.counts) if profile.counts else wrap_lines(*profile.error.split("\n"))
    lines += ["", *_format_remarks(profile), f"{inputs}, {threads}; took {profile.took_s:.0f} s"]
    return "\n".join(map(clean_line, lines))


def _format_remarks(profile: "Profile") -> list[str]:
    """Why rows or figures are missing, and what the instruments say, each once with the runtimes that it is about."""
    errors: dict[tuple[str, str], list[str]] = {}
    notes: dict[Note, list[str]] = {}
    for row in profile.rows:
        if row.error:
            errors.setdefault((row.error.splitlines()[0], row.remedy), []).append(row.backend)
        if (parity := row.find("max_score_error")) and parity.value is None:
            notes.setdefault(Note(None, f"no parity: {parity.reason}"), []).append(row.backend)
        for note in dict.fromkeys(n for f in row.figures for n in f.notes):
            notes.setdefault(note, []).append(row.backend)
    lines = []
    for (error, remedy), backends in errors.items():
        lines += wrap_lines(f"{', '.join(backends)}: {error}", f"remedy: {remedy}")
    for note, backends in notes.items():
        lines += wrap_lines(f"{', '.join(backends)}: {note}")
    return lines


def _format_latency(profile: "Profile", batch: int) -> list[str]:
    lines = [f"{f'latency of batch {batch}':<22}{'median [min, max of processes]':<34}{'n':>2}  {'load':>12}"]
    for row in profile.rows:
        latency = row.find("latency_s", batch=batch)
        if latency is None:
            lines.append(f"  {row.backend:<20}n/a, see below")
            continue
        shown, first = format_figure(latency) + _mark(latency), row.find("load_s")
        lines.append(f"  {row.backend:<20}{shown:<34}{latency.n:>2}  {format_figure(first, is_plain=True):>12}")
    return lines


def _format_rates(profile: "Profile", batch: int) -> list[str]:
    """Format what a latency means: examples a second, share of an empty call, share of the machine's peaks."""
    from dlmi_bench.instruments.roofline import find_roofline
    from dlmi_bench.units import format_percent

    lines = [f"{f'rates at batch {batch}':<22}{'examples':>12}{'overhead':>12}{'attainable':>14}  bound by"]
    for row in profile.rows:
        latency, overhead = row.find("latency_s", batch=batch), row.find("overhead_share", batch=batch)
        if latency is None or latency.value is None or overhead is None or overhead.value is None:
            continue
        roofline = find_roofline(latency, profile.counts, profile.peaks)
        share = "n/a" if roofline.attainable_s is None else f"{format_percent(roofline.attainable_s / latency.value)} %"
        rate = format_figure(row.find("throughput_hz", batch=batch), is_plain=True)
        lines.append(
            f"  {row.backend:<20}{rate:>12}{format_percent(overhead.value, 0) + ' %':>12}{share:>14}"
            f"  {roofline.bound or 'n/a'}"
        )
    return lines


def _explain_rates(profile: "Profile") -> list[str]:
    """Explain once for all batches what the rates are shares of, and why some are missing."""
    from dlmi_bench.instruments.roofline import find_roofline

    reasons: dict[str, list[str]] = {}
    for row in profile.rows:
        latency = row.find("latency_s")
        if latency and (reason := find_roofline(latency, profile.counts, profile.peaks).reason):
            reasons.setdefault(reason, []).append(row.backend)
    return wrap_lines(
        "overhead: an empty call; attainable: the time at the machine's own rates; shares of the latency; above 100 % "
        "the machine was slower while its rates were measured",
        *(f"attainable of {', '.join(names)}: n/a, {reason}" for reason, names in reasons.items()),
        *_format_peaks(profile.peaks),
    )


def _format_peaks(peaks: "list[Figure]") -> list[str]:
    """Format for instance "this machine: 249 GFLOP/s; reads 512 KiB at 145, 8 MiB at 123, 256 MiB at 41 GB/s"."""
    from dlmi_bench.units import format_number, format_quantity

    rates = [(f.conditions.get("working_set_bytes"), format_number((f.value or 0) / GIGA)) for f in peaks]
    flops = [f"{rate} GFLOP/s" for size, rate in rates if size is None]
    reads = [f"{format_quantity(float(size), 'bytes')} at {rate}" for size, rate in rates if size is not None]
    return [f"this machine: {', '.join(flops)}; reads {', '.join(reads)} GB/s"] if flops and reads else []


def _format_singles(profile: "Profile") -> list[str]:
    """Calls timed one by one; a percentile has a bound or the number of calls that it needs."""
    batch = profile.batches[0]
    lines = [f"{f'single calls, batch {batch}':<22}{'p50':>10}{'p90 (<=)':>20}{'p99 (<=)':>20}{'calls':>6}"]
    for row in profile.rows:
        shown = [row.find("single_call_s", batch=batch, percentile=name) for name in ("p50", "p90", "p99")]
        if any(figure is None for figure in shown):
            continue
        middle, *tails = (_format_percentile(figure) for figure in shown if figure)
        n = next(figure.n for figure in shown if figure)
        lines.append(f"  {row.backend:<20}{middle.partition(' (')[0]:>10}{tails[0]:>20}{tails[1]:>20}{n:>6}")
    return lines


def _format_percentile(figure: "Figure") -> str:
    from dlmi_bench.units import format_quantity

    if figure.value is None or figure.hi is None:
        return f"n/a ({figure.reason})"
    return f"{format_quantity(figure.value, 's')} ({format_quantity(figure.hi, 's')})"


def _mark(figure: "Figure") -> str:
    return f" {', '.join(marks)}" if (marks := list_marks(figure)) else ""


def _format_costs(profile: "Profile") -> list[str]:
    head = f"{'other costs':<22}{'memory':>10}{'added':>10}{'energy/example':>15}{'max error':>11}{'decisions':>11}"
    lines = [head]
    for row in profile.rows:
        if row.error:
            lines.append(f"  {row.backend:<20}n/a, see below")
            continue
        cells = [format_figure(row.find(name), is_plain=True) for name in ("peak_bytes", "peak_added_bytes")]
        error, other = row.find("max_score_error"), row.find("decision_disagreement")
        worst = "n/a" if error is None or error.value is None else f"{error.value:.1e}"
        n_other = "n/a" if other is None or other.value is None else f"{round(other.value * other.n)} of {other.n}"
        lines.append(
            f"  {row.backend:<20}{cells[0]:>10}{cells[1]:>10}{_format_energy(row):>16}{worst:>11}{n_other:>10}"
        )
    kinds = sorted({f"{f.kind}: {f.source}" for row in profile.rows for f in _list_energies(row)})
    lines += wrap_lines("max error and other decisions than eager in float64 (an ONNX file: than onnx's own evaluator)")
    if kinds:
        lines += wrap_lines(
            f"gross energy of the processor, on CUDA of the whole GPU board, {'; '.join(kinds)}; * is no measurement"
        )
    return lines


def _format_accuracies(profile: "Profile") -> list[str]:
    """Accuracy on the test set; nothing where none was given."""
    from dlmi_bench.units import format_percent

    lines = []
    for row in profile.rows:
        if figure := row.find("test_accuracy"):
            value, lo, hi = (None if x is None else format_percent(x) for x in (figure.value, figure.lo, figure.hi))
            said = f"n/a: {figure.reason}" if value is None else f"{value} [{lo}, {hi}] % of {figure.n}"
            lines += wrap_lines(f"{row.backend:<20}{said}")
    return ["", "accuracy, Wilson 95 %", *lines] if lines else []


def _list_energies(row: "RuntimeProfile") -> "list[Figure]":
    """Gross energy of the part that computes; a GPU that no meter reads has none."""
    from dlmi_bench.backends import BACKENDS

    computing = "gpu" if row.backend in BACKENDS and BACKENDS[row.backend].is_cuda else "cpu"
    figures = [f for f in row.figures if f.name == "inference_energy_j" and f.value is not None]
    return [f for f in figures if f.conditions["component"] == computing and not f.conditions["idle_subtracted"]]


def _format_energy(row: "RuntimeProfile") -> str:
    from dlmi_bench.units import format_quantity

    figure = next(iter(_list_energies(row)), None)
    if figure is None or figure.value is None:
        return "n/a"
    mark = " *" if figure.kind == "modelled" else ""
    return format_quantity(figure.value / int(figure.conditions["n_inferences"]), "j") + mark


def format_figure(figure: "Figure | None", *, is_plain: bool = False) -> str:
    from dlmi_bench.units import format_quantity, format_range, unit_of

    if figure is None or figure.value is None:
        return "n/a"
    unit = unit_of(figure.name)
    is_plain = is_plain or figure.n == 1  # one process has no range
    return format_quantity(figure.value, unit) if is_plain else format_range(figure.value, figure.lo, figure.hi, unit)


def wrap_lines(*texts: str) -> list[str]:
    from textwrap import wrap

    return [line for text in texts for line in wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")]


def _format_exact(value: float) -> str:
    return f"{value:,.{0 if value.is_integer() else 2}f}".replace(",", " ")


def format_counts(figures: "list[Figure]") -> list[str]:
    """A line for each figure, and one for each thing that it says about itself, once."""
    lines, notes = [], dict[Note, None]()
    for figure in figures:
        counter = figure.conditions.get("counter") or figure.conditions.get("artifact")
        name = f"{f'{figure.name} ({counter})' if counter else figure.name:<23} "
        number = "" if figure.value is None else f"{_format_exact(figure.value):>{40 - len(name)}}"
        shown = number or f"n/a: {figure.reason}"
        coverage = figure.conditions.get("coverage")
        covered = f", coverage {format_share(coverage)}" if isinstance(coverage, float) else ""
        lines.append(f"  {name}{shown}" + ("" if figure.value is None else f"  {figure.source}{covered}"))
        notes |= dict.fromkeys(figure.notes)
    return [clean_line(line) for line in (*lines, *(f"  note: {note}" for note in notes))]
