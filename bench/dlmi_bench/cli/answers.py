"""Answers that commands print with --json, a model each; `schemas` publishes them."""

from typing import Any, Literal

from pydantic import ConfigDict

from dlmi_bench.firmware.session import FirmwareNet
from dlmi_bench.gating.sides.baseline import Entry
from dlmi_bench.instruments.doctor import Finding
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.records import Figure, Plain
from dlmi_bench.refereeing.checks import Check
from dlmi_bench.store.merge import Conflict
from dlmi_bench.store.shards import StandsOut
from dlmi_bench.suite.status.summary import Summary
from dlmi_bench.suite.suites import Suite
from dlmi_bench.tuning.row import FoundRow, TunedRow
from dlmi_reports.claims.lock import Lock

Tree = dict[str, Any]


class JsonAnswer(Plain):
    """JsonAnswer of a command; `schema_version` is incremented when readers have to change."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    schema_version: Literal[1] = 1


class RunAnswer(JsonAnswer):
    """Cells that were kept and done, why others failed, by their key, and how many tries were lost with a worker."""

    kept: int
    done: int
    failed: dict[str, str]
    lost: int = 0


class StatusAnswer(Summary, JsonAnswer):
    """What a run has done, does and has left."""


class PlannedCell(Plain):
    """A cell, and why it is to be done; empty if it is kept."""

    cell: str
    why: str


class PlanAnswer(JsonAnswer):
    """What a run would do; `estimated_s` is rough for `n_unknown` cells, of which the store has no time [s]."""

    n_to_do: int
    n_kept: int
    n_unknown: int
    estimated_s: float
    estimated_bytes: int | None = None
    cells: tuple[PlannedCell, ...]


class TuneAnswer(JsonAnswer):
    """Trials that were kept and done, why others did not start, by their key, and the budget of each model.

    With --space `found` has the best recipe of each model in place of `models`.
    """

    kept: int
    done: int
    failed: dict[str, str]
    models: tuple[TunedRow, ...] = ()
    found: tuple[FoundRow, ...] = ()


class FilesAnswer(JsonAnswer):
    """Files that were written."""

    files: tuple[str, ...]


class Titled(Plain):
    """A registered name, in words."""

    title: str


class ListedBackend(Titled):
    """A runtime; `state` is its version here, or why it cannot run."""

    state: str


class ListedSuite(Suite):
    """A suite with all of its settings."""

    title: str


class ListAnswer(JsonAnswer):
    """Registries by name; those that were not asked for are empty. `left_out` is of plug-ins, with the reason."""

    tasks: dict[str, Titled] = {}
    models: dict[str, Titled] = {}
    families: dict[str, Titled] = {}
    arms: dict[str, Titled] = {}
    backends: dict[str, ListedBackend] = {}
    suites: dict[str, ListedSuite] = {}
    left_out: dict[str, Titled] = {}


class DataAnswer(JsonAnswer):
    """Descriptions of data by task: source, sizes, hashes, and what else the task says of them."""

    tasks: dict[str, Tree]


class DoctorAnswer(JsonAnswer):
    """What this machine can measure; `noise` is null if it was left out."""

    environment: Tree
    findings: tuple[Finding, ...]
    noise: Tree | None


class Compared(Plain):
    """One comparison of a claim; on the scale `log` the figures are natural logarithms of a ratio."""

    what: str
    value: float | None
    lo: float | None
    hi: float | None
    threshold: float
    scale: str
    is_exact: bool
    p_support: float
    p_refute: float


class JudgedClaim(Plain):
    """A claim with its verdict; `p_corrected`, for looks and family, is null if nothing was tested."""

    id: str
    kind: str
    family: str
    role: Literal["primary", "secondary"]
    verdict: Literal["SUPPORTED", "REFUTED", "INCONCLUSIVE", "NOT MEASURED"]
    sentence: str
    source: str
    evidence: tuple[str, ...]
    decides: str
    bound: str
    p_corrected: float | None
    n_seeds: int
    is_synthetic: bool
    needs_meter: bool
    nearest: str
    beside: str
    comparisons: tuple[Compared, ...]


class ClaimFamily(Plain):
    """Claims that were corrected together."""

    id: str
    title: str
    alpha: float
    n_tested: int


class ClaimsAnswer(JsonAnswer):
    """Verdicts by family and for the planned looks; `lock` says when the claims were locked, and what changed."""

    alpha: float
    n_tested: int
    looks: tuple[int, ...]
    exit_code: int
    families: tuple[ClaimFamily, ...]
    claims: tuple[JudgedClaim, ...]
    lock: tuple[str, ...] = ()


class JudgedAlgorithm(Plain):
    """An algorithm with its test accuracy; `n_effective` independent cases say as much where groups are units."""

    name: str
    n_seeds: int
    n_cases: int
    n_effective: float
    accuracy: float
    accuracy_lo: float
    accuracy_hi: float


class ReportedFalseClaim(Plain):
    """Probability that the first is no better than the second; bounds are over all congruences."""

    first: str
    second: str
    congruence: float
    probability: float
    lo: float
    hi: float


class JudgeAnswer(ClaimsAnswer):
    """Verdicts on what others report, the most accurate algorithm first, and what was assumed.

    `false_claims` are given where accuracies alone are known.
    """

    task: str
    algorithms: tuple[JudgedAlgorithm, ...]
    notes: tuple[str, ...]
    false_claims: tuple[ReportedFalseClaim, ...] = ()


class LockAnswer(JsonAnswer):
    """The lock that was written, and its file."""

    file: str
    lock: Lock


class CountAnswer(JsonAnswer):
    """Counts of a model."""

    subject: Subject
    figures: tuple[Figure, ...]


class ProfiledRow(Plain):
    """Figures of a model on one runtime, or why there are none."""

    model_config = ConfigDict(extra="allow")

    backend: str
    figures: tuple[Figure, ...]
    error: str = ""
    remedy: str = ""
    is_missing: bool = False


class ProfiledModel(Plain):
    """Figures of a model on every runtime, what was counted, and what the machine can do."""

    subject: Subject
    n_threads: int
    counts: tuple[Figure, ...]
    error: str
    rows: tuple[ProfiledRow, ...]
    peaks: tuple[Figure, ...]
    took_s: float


class ProfileAnswer(JsonAnswer):
    """A profile for each model and number of threads."""

    profiles: tuple[ProfiledModel, ...]


class ComparedRow(Plain):
    """A file on one runtime, in SI units; null where a figure is not available, with the reasons.

    `energy_j` is that of one example; `_lo` and `_hi` are bounds: of accuracies and ratios 95 % intervals, of a latency
    the smallest and largest process.
    """

    model: str
    backend: str
    threads: int
    batch: int
    precision: str
    test_accuracy: float | None
    test_accuracy_lo: float | None
    test_accuracy_hi: float | None
    n_test: int
    latency_s: float | None
    latency_s_lo: float | None
    latency_s_hi: float | None
    latency_ratio: float | None
    latency_ratio_lo: float | None
    latency_ratio_hi: float | None
    n_parameters: float | None
    macs: float | None
    size_bytes: float | None
    peak_activation_bytes: float | None
    n_nonzero: float | None
    weight_bits: float | None
    packed_bytes: float | None
    packed_zstd_bytes: float | None
    peak_bytes: float | None
    peak_added_bytes: float | None
    energy_j: float | None
    energy_source: str
    max_score_error: float | None
    decision_disagreement: float | None
    marks: tuple[str, ...]
    notes: tuple[str, ...]
    reasons: tuple[str, ...]


class CompareAnswer(JsonAnswer):
    """Files side by side; latencies are multiples of that of `reference`."""

    task: str
    reference: str
    rows: tuple[ComparedRow, ...]
    failures: dict[str, str]


class FirmwareAnswer(JsonAnswer):
    """Images of nets for microcontrollers: sizes are counted from ELF files, instructions and deepest stacks simulated.

    An input x of a net becomes round(x * 2 ** exponent). `reach` has the smallest and largest sum of each layer, proved
    for any input; `n_equal` answers are those of the integer reference to the last bit; `shortfalls` say what fails.
    """

    task: str
    nets: tuple[FirmwareNet, ...]


class RefereedChecks(Plain):
    """Checks of a model; where `failure` says why, there are none."""

    model: str
    checks: tuple[Check, ...]
    failure: str


class RefereeAnswer(JsonAnswer):
    """What a referee found: by model and check `passed`, `FOUND` or `undecided`.

    `is_drawn` is false where the nonce was named, so that a recipe could know it; `margin` is a fraction.
    """

    task: str
    nonce: str
    is_drawn: bool
    n_seeds: int
    margin: float
    models: tuple[RefereedChecks, ...]


class GateAnswer(JsonAnswer):
    """Verdicts of the gate; `decisions` have a `kind`, a `name`, a `verdict` and what it rests on."""

    model_config = ConfigDict(extra="allow")

    exit_code: int
    summary: str
    warning: str
    beside: tuple[str, ...]
    decisions: tuple[dict[str, Any], ...]
    baseline: Any
    environment: Any
    settings: Tree


class ListedModel(Plain):
    """A model of a baseline, with the number of its trainings and its exact costs."""

    name: str
    n_seeds: int
    costs: dict[str, int]


class BaselineListAnswer(JsonAnswer):
    """Models of a baseline."""

    models: tuple[ListedModel, ...]


class BaselineShowAnswer(JsonAnswer):
    """All that a baseline keeps of one model; `noise` is "not recorded", or that of the machine that saved it."""

    model: Entry
    noise: Tree | str


class MergeAnswer(JsonAnswer):
    """Numbers of cells and attempts in the merged store, and its folder.

    `conflicts` are cells that several stores finished differently and --prefer settled; `stands_out` are commits, data
    and machines that most stores do not have.
    """

    cells: int
    attempts: int
    out: str
    stores: int
    conflicts: tuple[Conflict, ...]
    stands_out: tuple[StandsOut, ...]


class ImportAnswer(JsonAnswer):
    """Imported figures, and the key of the cell that holds them."""

    cell: str
    provenance: Tree
    figures: tuple[Figure, ...]
