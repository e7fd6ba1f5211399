"""Examples of which each is a file."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.own.examples import Examples, name_classes
from dlmi_tasks.own.options import Options
from dlmi_tasks.own.sources.arrays import Layout, check_fields
from dlmi_tasks.own.sources.images import read_image
from dlmi_tasks.own.task import make_task
from dlmi_tasks.spec import Images, Labels, Task

N_LISTED = 5  # files that a report names


def make_file_task(
    where: Path,
    kind: str,
    names: Sequence[str],
    resolve: Callable[[int], Path],
    labels: Labels,
    class_names: tuple[str, ...],
    options: Options,
    lines: Sequence[int] = (),
) -> Task:
    """Task of one file for each example; only the first is read now.

    Args:
        where: Folder or manifest.
        kind: Word for it.
        names: Files, relative to their folder.
        resolve: Path of a file by its number.
        lines: Line of the manifest for each example.
    """
    layout = Layout(options["n_dims"], options["channels_last"])
    shape, n = read_image(resolve(0), layout).shape, len(names)
    listed = names if n <= N_LISTED else [*names[: N_LISTED - 1], f"... {n} files"]
    examples = Examples(
        where=str(where),
        source=f"{kind} {where.name}",
        note=f"A {kind} of image files handed over by the user.",
        shape=shape,
        labels=labels,
        class_names=name_classes(str(where), labels, class_names),
        read=lambda on_progress: _read(map(resolve, range(n)), n, shape, layout, on_progress),
        files=tuple(listed),
        **check_fields(str(where), options, n, [Path(name) for name in names], lines),
    )
    return make_task(examples, options)


def _read(
    paths: Iterable[Path], n: int, shape: tuple[int, ...], layout: Layout, on_progress: Progress | None
) -> Images:
    """All images, (n, *shape).

    Raises:
        DataError: one cannot be read or has another size; names it and the first.
    """
    images, first = np.empty((n, *shape), np.float32), None
    for row, path in enumerate(paths):
        image, first = read_image(path, layout), first or path
        if image.shape != shape:
            cause = f"{first} is {_name_shape(shape)}, {path} is {_name_shape(image.shape)}"
            raise DataError(cause, "bring all images to one size and one number of channels")
        images[row] = image
        if on_progress:
            on_progress(row + 1, n)
    return images


def _name_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
