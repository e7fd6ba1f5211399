"""Test images with their true class, the answer, its probability, and the pixels that influence the answer."""

from itertools import groupby
from typing import TYPE_CHECKING

from pydantic import ValidationError

from dlmi_bench.errors import StoreError
from dlmi_bench.records import ARM, Record
from dlmi_bench.store.pictures import Picture
from dlmi_reports.plots.canvas import canvas, shorten
from dlmi_reports.plots.front import make_title
from dlmi_reports.results.load import TaskResults, make_slug
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Plot
from dlmi_reports.tables.classes import list_classes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_COLUMNS = 2  # examples side by side, each with its map
PARTICIPANTS = (
    "These are images of the participants whose scans were named; they fall under the terms on which those were "
    "obtained, so that this report is not to be passed on. "
)
N_GROUPS = 40  # of right or of wrong answers: the first 20 classes


def plot_montages(task: TaskResults) -> list[Plot]:
    """Draw the pictures of the reference, otherwise of the smallest model that has any; none of arms."""
    if ARM in task.name:
        return []
    models = sorted(task.by_size, key=lambda model: model is not task.reference)
    found = ((model, pictures) for model in models if (pictures := read_pictures(model.trainings[:1])))
    return [plot_montage(task, model, pictures) for model, pictures in list(found)[:1]]


def read_pictures(trainings: list[Record]) -> list[Picture]:
    """Read the pictures that the training kept.

    Raises:
        StoreError: it is damaged.
    """
    kept = [entry for record in trainings for entry in record.details.get("pictures", ())]
    try:
        pictures = [Picture.model_validate(entry) for entry in kept]
        for picture in pictures:
            picture.decode()
    except (ValidationError, ValueError) as error:
        raise StoreError(f"{trainings[0].cell.key}: pictures: {error}", "run again with --fresh") from None
    return pictures


def plot_montage(task: TaskResults, model: ModelResults, pictures: list[Picture]) -> Plot:
    """Draw, for each class, a row of correct and a row of wrong answers."""
    names = list_classes(task, 1 + max(max(p.truth, p.answer) for p in pictures))
    groups = [list(group) for _, group in groupby(pictures, key=lambda p: (p.truth, p.is_right))][:N_GROUPS]
    rows = [group[i : i + N_COLUMNS] for group in groups for i in range(0, len(group), N_COLUMNS)]
    title = make_title(task, f"test images and saliency, {shorten(model.name)}")
    name = f"montage-{make_slug(task.name)}"
    with canvas(name, title, n_rows=len(rows), n_columns=2 * N_COLUMNS, height=0.6 + 1.5 * len(rows)) as drawing:
        axes = drawing.figure.axes
        for number, row in enumerate(rows):
            line = axes[2 * N_COLUMNS * number :][: 2 * N_COLUMNS]
            for picture, pair in zip(row, zip(line[::2], line[1::2], strict=True), strict=False):
                _draw_pair(pair, picture, names)
            for axis in line[2 * len(row) :]:
                axis.set_axis_off()
            said = "right" if row[0].is_right else "wrong"
            line[0].set_ylabel(f"truth {names[row[0].truth]}\n{said}", fontsize=8)
    said = "; ".join(_describe(group, names) for group in groups)
    whose = PARTICIPANTS if task.provenance.data.scans.n_scans else ""
    return drawing.to_plot(
        f"{whose}{sum(map(len, groups))} test images of {task.name} with the answers of {model.name}, first seed: for "
        "each class the first correct and the first wrong answers, in the order of the test split. Next to each image "
        "is the magnitude of the gradient of the answer's score, averaged over noisy copies (SmoothGrad), on a "
        f"separate scale. Bright pixels influence the score; they need not be its cause. {said}."
    )


def _draw_pair(axes: "tuple[Axes, Axes]", picture: Picture, names: list[str]) -> None:
    image, saliency = picture.decode()
    for axis, pixels, colors in zip(axes, (image, saliency), ("gray", "inferno"), strict=True):
        axis.imshow(pixels, cmap=colors, vmin=0, vmax=255, interpolation="none")
        axis.spines[:].set_visible(False)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(visible=False)
    axes[0].set_title(f"says {names[picture.answer]}, {picture.probability:.2f}", fontsize=8)
    axes[1].contour(image, levels=[0.5 * image.max()], colors="white", linewidths=0.4)


def _describe(group: list[Picture], names: list[str]) -> str:
    first = group[0]
    if first.is_right:
        said = ", ".join(f"{p.probability:.2f}" for p in group)
        return f"truth {names[first.truth]}, right with probability {said}"
    said = ", ".join(f"{names[p.answer]} with {p.probability:.2f}" for p in group)
    return f"truth {names[first.truth]}, taken for {said}"
