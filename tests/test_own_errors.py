"""Bad data of one's own: one sentence that names file, row or field, and a remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dlmi_bench.errors import BenchError, DataError, UsageError
from dlmi_tasks.own import memory
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Task
from own_examples import N, make_images, make_labels, write_folder, write_manifest

X, Y = make_images(), make_labels()
SPLIT = np.array(["train", "train", "train", "test"] * (N // 4))
PAIRS = np.arange(N) // 2


def arrays(images: Any = X, labels: Any = Y, **options: Any) -> Callable[[Path], Task]:
    return lambda _: Task.from_arrays(images, labels, **{"name": "mine", **options})


def load(make: Callable[[Path], Task]) -> Callable[[Path], object]:
    return lambda folder: make(folder).load()


def spoil(row: int, value: float) -> Any:
    images = X.astype(np.float32)
    images[row, 0, 0] = value
    return images


def csv(image: str = "file", label: str = "class", **options: Any) -> Callable[[Path], Task]:
    columns = options.pop("columns", {})
    return lambda folder: Task.from_csv(write_manifest(folder, **columns), image=image, label=label, **options)


def npz(**content: Any) -> Callable[[Path], Task]:
    def make(folder: Path) -> Task:
        np.savez(folder / "mine.npz", **content)
        return Task.from_npz(folder / "mine.npz")

    return make


def folder_of(*files: str, shape: tuple[int, int] = (8, 9), **options: Any) -> Callable[[Path], Task]:
    """The folder of images and some more files, all of the same content."""

    def make(folder: Path) -> Task:
        write_folder(folder / "mine")
        for file in files:
            (folder / "mine" / file).parent.mkdir(exist_ok=True, parents=True)
            content = folder / "more.png"
            Image.fromarray(make_images(1, shape)[0]).save(content)
            (folder / "mine" / file).write_bytes(content.read_bytes())
        return Task.from_folder(folder / "mine", **options)

    return make


ONE_SITE = np.repeat("s", N)
CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "float labels": (arrays(labels=Y.astype(float)), "labels are float64, not whole numbers", r"\.astype\(int\)"),
    "words": (arrays(labels=np.array(list("abc" * 20))), "labels are words such as .*'a'", "return_inverse"),
    "object labels": (arrays(labels=Y.astype(object)), "labels are objects such as 0", "number the classes"),
    "labels from 1": (arrays(labels=Y + 1), "labels start at 1", "labels - 1"),
    "labels from 1, named": (arrays(labels=Y + 1, class_names="abc"), "labels start at 1", "labels - 1"),
    "negative": (arrays(labels=Y - 1), "labels, row 0: -1 is negative", "from 0"),
    "too few names": (arrays(class_names="ab"), "labels, row 2: class 2, but there are 2 class_names", "every class"),
    "empty class": (arrays(class_names="abcd"), r"class 3 \('d'\) has no example", "add examples"),
    "gap": (arrays(labels=Y * 2), r"class 1 \('1'\) has no example", "without a gap"),
    "one class": (arrays(labels=Y * 0), "arrays: 1 class", "2 to 1000"),
    "too many classes": (arrays(labels=np.arange(N) * 20), "1181 classes", "2 to 1000"),
    "twin names": (arrays(class_names=["a", "b", "a"]), "two classes have the same name", "name of its own"),
    "rows of labels": (arrays(labels=np.eye(3, dtype=int)[Y]), r"labels have shape \(60, 3\)", "one class for each"),
    "ragged labels": (arrays(labels=[[1], [1, 2]]), "labels are no array: setting an array", "one array of labels"),
    "lengths": (arrays(labels=Y[:50]), "60 images and 50 labels", "one row of labels"),
    "lengths of groups": (arrays(groups=PAIRS[:9]), "60 images and 9 groups", "one row of groups"),
    "missing group": (arrays(groups=[*"ab" * 29, "a", np.nan]), "groups, row 59: 'nan' is missing", "whose it is"),
    "no examples": (arrays(X[:0], Y[:0]), "0 examples", "1 to"),
    "NaN": (load(arrays(spoil(7, np.nan))), "images, row 7: holds NaN or an infinite value", "nan_to_num"),
    "infinite": (load(arrays(spoil(9, np.inf))), "images, row 9: holds NaN", "leave the image out"),
    "too large": (
        load(arrays(X.astype(np.float64) * 1e300)),
        "images, row 0: holds NaN or an inf",
        "leave the image out",
    ),
    "object images": (arrays(X.astype(object)), "images are of type object", "one size"),
    "ragged": (
        arrays([np.ones((2, 2)), np.ones((3, 3))], [0, 1]),
        "images are no array: setting an array",
        "of one size",
    ),
    "words as images": (arrays(np.full((N, 8, 8), "a")), "images are of type <U1", "integers or floats"),
    "channels last": (arrays(make_images(N, (8, 8, 3))), r"\(60, 8, 8, 3\), which looks like", "channels_last=True"),
    "no axes": (arrays(Y), r"images have shape \(60,\), with 1 axes", "n_dims=3"),
    "volumes without depth": (arrays(n_dims=3), r"shape \(60, 8, 9\), with 3 axes", "n, channel, depth, height, width"),
    "no values": (arrays(make_images(N, (0, 9))), r"shape \(60, 0, 9\)", "values in each image"),
    "class missing in test": (
        arrays(split=np.where(Y == 2, "train", SPLIT)),
        "class '2' has no example in the split 'test'",
        "every split",
    ),
    "rare class": (
        arrays(labels=np.append(Y[:-2] % 2, [2, 2])),
        "class '2' has no example in the split 'validation'",
        "add examples of it; training, validation and test need one each",
    ),
    "split without test": (arrays(split=["train"] * N), "no image is in the split 'test'", "drop split"),
    "unknown split": (arrays(split=[*SPLIT[:-1], "dev"]), "split, row 59: 'dev'", "train, validation and test"),
    "group on both sides": (
        arrays(split=SPLIT, groups=PAIRS),
        "group '1' is in the splits test and train",
        "each group in one split",
    ),
    "group on two sites": (
        arrays(sites=SPLIT, groups=PAIRS, held_out_sites=True),
        "group '1' is in the sites test and train",
        "one site",
    ),
    "one site": (arrays(sites=ONE_SITE, held_out_sites=True), "there is one site", "two sites"),
    "no sites": (arrays(held_out_sites=True), "held_out_sites needs to know the sites", "sites="),
    "more folds than groups": (arrays(groups=np.arange(N) % 4, n_folds=5), "4 groups for 5 folds", "n_folds=4"),
    "one fold": (arrays(n_folds=1), "n_folds is 1", "2 or more"),
    "split and folds": (arrays(split=SPLIT, n_folds=3), "exclude each other", "one of them"),
    "unknown option": (arrays(n_fold=3), "option 'n_fold' does not exist", "n_folds"),
    "no name": (arrays(name=None), "name None cannot name a task", "state name="),
    "bad name": (arrays(name="a/b"), "name 'a/b' cannot name a task", "letters"),
    "share": (arrays(test_share=20), "test_share is 20", "for instance 0.2"),
    "percent": (arrays(target=95), "target 95 is no accuracy", "for instance 0.9"),
    "no distortion": (arrays(distortion=True), "distortion is True", "Distortion"),
    "no fit": (arrays(fit=3), "fit is 3", "fit\\(network"),
    "no recipe": (arrays(recipe={"n_epochs": 3}), "recipe is", "Recipe"),
    "words for models": (arrays(default_models="softmax"), "default_models is 'softmax'", "softmax"),
    "one-hot labels": (arrays(labels=np.eye(3, dtype=int)[Y]), r"labels have shape \(60, 3\)", "argmax"),
    "normalisation": (arrays(normalisation="z"), "normalisation is 'z'", "'standard', 'minmax', 'none'"),
    "sources": (lambda f: arrays()(f).load(data_dir=f), "come from where the task was made", "drop --source"),
    "npz without images": (npz(pictures=X, labels=Y), "no images; its arrays are pictures, labels", "np.savez"),
    "npz without labels": (npz(images=X), "images without labels", "np.savez"),
    "npz without test": (npz(train_images=X, train_labels=Y), "no image is in the split 'test'", "assign some"),
    "npz of objects": (npz(images=X, labels=Y.astype(object)), "labels holds Python objects", "nothing is unpickled"),
    "npz of two sizes": (
        npz(train_images=X, train_labels=Y, test_images=make_images(N, (4, 4)), test_labels=Y),
        r"train_images are \(1, 8, 9\), test_images are \(1, 4, 4\)",
        "one size",
    ),
    "many labels": (npz(images=X, labels=np.eye(3, dtype=int)[Y]), r"labels have shape \(60, 3\)", "one class"),
    "no npz": (lambda f: Task.from_npz(f / "none.npz"), "none.npz: no such file", "name an .npz"),
    "no folder": (lambda f: Task.from_folder(f / "none"), "none: no such folder", "name a folder"),
    "empty folder": (lambda f: Task.from_folder(f, name="mine"), "no folders in it", "CLASS/IMAGE"),
    "loose image": (folder_of("x.png"), "x.png: an image outside of the folders", "CLASS/IMAGE"),
    "empty class folder": (
        lambda f: (folder_of()(f), (f / "mine" / "d").mkdir(), Task.from_folder(f / "mine")),
        r"class 3 \('d'\) has no example",
        "add examples",
    ),
    "other file": (folder_of("a/x.txt"), "x.txt: not one of .png", "move it elsewhere"),
    "two sizes": (
        load(folder_of("b/x.png", shape=(9, 9))),
        r"000.png is 1 x 8 x 9, .*x.png is 1 x 9 x 9",
        "one size",
    ),
    "other names": (folder_of(class_names="xyz"), "its folders are a, b, c, class_names are x, y, z", "same names"),
    "folder without test": (
        lambda f: (write_folder(f / "mine" / "train"), Task.from_folder(f / "mine")),
        "no image is in the split 'test'",
        "assign some",
    ),
    "no column": (csv(group="patient"), "no column 'patient'; its columns are file, class", "column names"),
    "missing file": (
        load(csv(columns={"file": ["a/000.png", "b/x.png", *(f"c/{i}.png" for i in range(58))]})),
        "table.csv, line 3: no file 'b/x.png'",
        "root=",
    ),
    "file outside": (csv(columns={"file": ["../x.png", *map(str, range(59))]}), "'../x.png' leads out", "trust"),
    "file twice": (csv(columns={"file": ["a/000.png"] * N}), "line 3: the same image as in line 2", "once"),
    "empty cell": (
        csv(columns={"who": ["a", "", *"b" * 58]}, group="who"),
        "line 3: column 'who' is empty",
        "drop the line",
    ),
    "unknown class": (csv(class_names=["a", "b", "d"]), "line 4: 'c' is not among class_names", "a, b, d"),
    "unknown word": (csv(columns={"s": [*SPLIT[:-1], "x"]}, split="s"), "split, line 61: 'x'", "validation"),
    "empty manifest": (
        lambda f: ((f / "t.csv").write_text("file,class\n"), Task.from_csv(f / "t.csv", image="file", label="class")),
        "t.csv: no rows",
        "CSV",
    ),
    "no manifest": (lambda f: Task.from_csv(f, image="a", label="b"), "no such file", "in CSV"),
    "long name": (csv(columns={"file": ["x" * 5000, *map(str, range(59))]}), "line 2: File name too long", "root="),
    "column and option": (csv(columns={"who": PAIRS}, group="who", groups=PAIRS), "groups are a column and", "one"),
    "folds of given splits": (
        lambda f: (
            [write_folder(f / "mine" / part) for part in ("train", "test")],
            Task.from_folder(f / "mine", n_folds=3),
        ),
        ": brings its own splits",
        "drop split, n_folds",
    ),
    "too many cells": (
        lambda f: ((f / "t.csv").write_text("a,b\n1,2,3\n"), Task.from_csv(f / "t.csv", image="a", label="b")),
        "t.csv, line 2: more cells than columns",
        "commas",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_explained(case: str, tmp_path: Path) -> None:
    """Each mistake is one error of ours that says where it is and what helps."""
    make, cause, remedy = CASES[case]
    with pytest.raises(BenchError, match=cause) as caught:
        make(tmp_path)
    assert isinstance(caught.value, DataError | UsageError)
    assert "\n" not in caught.value.cause
    with pytest.raises(BenchError, match=f"remedy: .*{remedy}"):
        raise caught.value


def test_memory_is_compared_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 images of 4 MB, twice, are 0.5 GB; with less free, load says both numbers and what helps."""
    task = Task.from_arrays(np.broadcast_to(np.float32(1), (N, 1, 1024, 1024)), Y, name="mine")
    monkeypatch.setattr(memory, "find_free_bytes", lambda: 2**28)
    with pytest.raises(DataError, match="needs 480 MiB of memory, 256 MiB are free") as caught:
        task.load()
    assert "from_datasets" in caught.value.remedy


def test_recipes_without_distortion_do_not_distort() -> None:
    """A recipe whose augmentation is random-affine, as Recipe's own default is, trains on images as they are."""
    task = Task.from_arrays(X, Y, name="mine", recipe=Recipe(n_epochs=3), recipes={"softmax": Recipe(n_epochs=1)})
    assert {recipe.augmentation for recipe in task.recipes.values()} == {"none"}
    assert (task.recipe("cnn-4").n_epochs, task.recipe("softmax").n_epochs) == (3, 1)
