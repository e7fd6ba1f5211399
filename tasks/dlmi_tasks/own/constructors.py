"""Constructors of tasks of your own, which Task inherits; what they need is imported when they are called."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch.utils.data import Dataset as TorchDataset

    from dlmi_tasks.own.options import CommonOptions, Options
    from dlmi_tasks.spec import Task


class Constructors:
    """Ways to make a task of your own data.

    All take the options of dlmi_tasks.own.options.Options as keywords, and raise DataError, which names the file, row
    or field that cannot be used, or UsageError for an option that does not exist or does not suit the data.
    """

    @classmethod
    def from_arrays(cls, images: "ArrayLike", labels: "ArrayLike", **options: "Unpack[Options]") -> "Task":
        """Make a task of images in memory.

        Args:
            images: (n, channel, height, width), (n, height, width), or volumes (n, channel, depth, height, width).
                Integers keep their values, so uint8 is 0 to 255 before normalisation.
            labels: Classes from 0, whole numbers, (n,).
            options: See Options; `name` is needed.
        """
        from dlmi_tasks.own.sources.arrays import from_arrays

        return from_arrays(images, labels, **options)

    @classmethod
    def from_npz(cls, path: str | Path, **options: "Unpack[Options]") -> "Task":
        """Make a task of an .npz file; its labels and headers are read now, its images by `load`.

        Args:
            path: Holds train_images, train_labels, val_images, val_labels, test_images and test_labels, as MedMNIST
                does, or images and labels (x and y), which are then split.
            options: See Options.
        """
        from dlmi_tasks.own.sources.npz import from_npz

        return from_npz(path, **options)

    @classmethod
    def from_folder(cls, path: str | Path, **options: "Unpack[Options]") -> "Task":
        """Make a task of a folder with a folder of images for each class.

        Args:
            path: Holds CLASS/IMAGE, or train/CLASS/IMAGE, test/CLASS/IMAGE and, if you like, validation/CLASS/IMAGE.
                Images are PNG, JPEG, TIFF, NIfTI or .npy of one size. Examples are in the order of their paths.
            options: See Options.
        """
        from dlmi_tasks.own.sources.folder import from_folder

        return from_folder(path, **options)

    @classmethod
    def from_csv(
        cls,
        manifest: str | Path,
        *,
        image: str,
        label: str,
        group: str | None = None,
        split: str | None = None,
        site: str | None = None,
        root: str | Path | None = None,
        **options: "Unpack[CommonOptions]",
    ) -> "Task":
        """Make a task of a table that lists image files, of the kinds that `from_folder` reads.

        Args:
            manifest: CSV with a line of column names; .tsv with tabs.
            image: Column of the files, relative to the manifest's folder or to `root`, and inside it.
            label: Column of the classes, words or numbers.
            group: Column that says whose an image is, for instance the patient.
            split: Column with the words train, validation and test.
            site: Column that says where an image was taken.
            options: See Options.
        """
        from dlmi_tasks.own.sources.manifest import from_csv

        return from_csv(manifest, image=image, label=label, group=group, split=split, site=site, root=root, **options)

    @classmethod
    def from_datasets(
        cls,
        train: "TorchDataset[Any]",
        test: "TorchDataset[Any]",
        *,
        validation: "TorchDataset[Any] | None" = None,
        n_workers: int = 0,
        in_memory: bool | Literal["auto"] = "auto",
        **options: "Unpack[CommonOptions]",
    ) -> "Task":
        """Make a task of torch datasets of (image, class).

        Args:
            validation: A part of `train` is cut where there is none.
            n_workers: Processes that read the images; 0 reads in the process that trains.
            in_memory: Whether all images are held in memory, or those for training are read while they are needed.
                `auto` holds them where they fit into a quarter of the free memory and are the same at each reading.
            options: See Options; `name` is needed, and `class_names` where `train` has no
                `classes`. Groups are of the items of train, validation and test, in this order.
        """
        from dlmi_tasks.own.sources.datasets import from_datasets

        return from_datasets(train, test, validation=validation, n_workers=n_workers, in_memory=in_memory, **options)
