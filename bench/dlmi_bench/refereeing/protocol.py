"""What a referee asks fresh processes: facts of files, of a network that is newly built, and of the code behind it."""

from dlmi_bench.jobs.protocol import Request
from dlmi_bench.records import Plain


class Contents(Plain):
    """What a network's file holds and does.

    Attributes:
        n_parameters: Numbers in constant tensors; see `instruments.onnx.contents.count_parameters`.
        n_single: Those of them that stand alone, which are part of a formula.
        operators: Nodes by type.
        macs: Multiply-accumulates of one example.
        external: Other files that it names.
    """

    n_parameters: int
    n_single: int
    operators: dict[str, int]
    macs: int | None
    external: tuple[str, ...] = ()


class Training(Plain):
    """One training of the store: its number, its ONNX file, and the scores of the test split that it kept."""

    seed_index: int
    path: str
    scores: str


class TrainedFile(Plain):
    """A file that a training made.

    Attributes:
        n_unlike: Test examples that the file decides otherwise than the training said.
    """

    sha256: str
    contents: Contents
    n_unlike: int


class FilesRequest(Request[tuple[TrainedFile, ...]]):
    """Read files that trainings made, and let them answer the test split, in a process without code of the user's."""

    job = "dlmi_bench.refereeing.jobs:run_files_job"
    task: str
    trainings: tuple[Training, ...]


class Fresh(Plain):
    """A network as its factory makes it.

    Attributes:
        n_parameters: Of the torch network.
        n_statistics: Running means and variances of its normalisation.
        contents: Of the file that it exports to, untrained.
        source_bytes: Source of the model's module and of what that imports from its own folder.
        data_bytes: Strings, numbers and comments in that source.
        reaches: Names in it by which code reaches into the interpreter.
    """

    n_parameters: int
    n_statistics: int
    contents: Contents
    source_bytes: int
    data_bytes: int
    reaches: tuple[str, ...]


class FreshRequest(Request[Fresh]):
    """Build a new network of the model and export it untrained; read its source."""

    job = "dlmi_bench.refereeing.jobs:run_fresh_job"
    task: str
    model: str
