"""Constructors of tasks of your own, which Task inherits; what they need is imported when they are called."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch.utils.data import Dataset as TorchDataset

    from dlmi_tasks.own.options import CommonOptions, Options
    from dlmi_tasks.recipe import Recipe
    from dlmi_tasks.spec import Task


class Constructors:
    """Ways to make a task of your own data.

    All but from_spect take the options of dlmi_tasks.own.options.Options as keywords. They raise DataError, which names
    the file, row or field that cannot be used, or UsageError for an option that does not exist or does not suit the
    data.
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
    def from_spect(
        cls,
        path: str | Path,
        *,
        name: str | None = None,
        grouping: str = "",
        assume_pd: bool = False,
        register: bool = False,
        n_folds: int = 1,
        held_out_sites: bool = False,
        pictures: bool = False,
        slices: Literal["window", "single", "hottest", "channels", "volume"] = "window",
        recipes: "dict[str, Recipe] | None" = None,
    ) -> "Task":
        """Make a task of a folder of DaT-SPECT scans, as the task `spect` reads them.

        Args:
            path: Images and tables at any depth: a download of PPMI, a BIDS tree, or anything with a table in the
                folder itself that lists images (columns path and subject; label, site, session, group, sex and age
                where they are known).
            name: Name of the task; else that of the folder.
            grouping: stage, phase, 1-2+, hc-pd, visual, nsd-iss, labels, or a TOML file with stages by class. Else the
                labels of a table that lists images, or the stages.
            assume_pd: Whether subjects of whom no table names the group are patients.
            register: Whether each scan is aligned to the template.
            n_folds: Folds by patient; each training of a seed tests on another one.
            held_out_sites: Whether each training tests on one site and learns from all others.
            pictures: Whether reports show scans, which are those of participants.
            slices: Mean of the window, one slice, the 14 with most uptake, or all 14 of the window as channels of an
                image or as a volume.
            recipes: Recipes by model that replace those of the task `spect`.
        """
        from dlmi_tasks.spect.task import from_spect

        return from_spect(
            path,
            name=name,
            grouping=grouping,
            assume_pd=assume_pd,
            register=register,
            n_folds=n_folds,
            held_out_sites=held_out_sites,
            pictures=pictures,
            slices=slices,
            recipes=recipes,
        )

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
