"""Output of `dlmi-bench data spect`: counts, origin, reference figures and, on request, the leakage audit.

All answers are plain data that JSON can hold.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_tasks.files import folders
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.spect.anatomy.anatomy import Regions, load_regions
from dlmi_tasks.spect.audit import audit_leakage, measure_inflation
from dlmi_tasks.spect.cohort.cohort import CohortSpec
from dlmi_tasks.spect.cohort.synthesis import Count
from dlmi_tasks.spect.data import SIZES, SpectDataset, SyntheticDataset, load_synthetic, summarise
from dlmi_tasks.spect.manifest import load_key, make_manifest
from dlmi_tasks.spect.observer import compute_ceiling, compute_efficiency, measure_lda
from dlmi_tasks.spect.ppmi.dataset import PpmiDataset, load_ppmi, make_dataset, read_scans
from dlmi_tasks.spect.ppmi.download import inspect_download
from dlmi_tasks.spect.ppmi.options import Options, find_options
from dlmi_tasks.spect.preprocess import Preprocessing, compute_image_snr, compute_pooled_snr, normalise


def load_spect(
    preset: str = "course",
    *,
    data_dir: Path | None = None,
    options: Options | None = None,
    separation: float = 1.0,
    sizes: tuple[int, int, int] = SIZES,
    preprocessing: Preprocessing | None = None,
    cache: Path | None = None,
    on_progress: Progress | None = None,
    on_scan: Count | None = None,
) -> SpectDataset:
    """PPMI's files where a folder is named, else the synthetic cohort.

    Args:
        preset: `course` or `realistic`; without meaning for real data, as are `separation` and `sizes`.
        data_dir: Folder of a PPMI download.
        options: How real data are read; those of the environment by default.

    Raises:
        DataError: see load_ppmi.
        FetchError: the archive of the anatomies cannot be obtained.
    """
    if data_dir is not None:
        return load_ppmi(
            data_dir,
            options=options or find_options(),
            preprocessing=preprocessing,
            cache=cache,
            on_progress=on_progress,
            on_scan=on_scan,
        )
    spec = CohortSpec(preset, separation)
    return load_synthetic(
        spec, sizes=sizes, preprocessing=preprocessing, cache=cache, on_progress=on_progress, on_scan=on_scan
    )


def inspect(
    preset: str, data_dir: Path | None, *, has_audit: bool, montage: Path | None, on_scan: Progress
) -> dict[str, object]:
    """Describe a PPMI folder where one is named, else the synthetic cohort, whose slices `montage` then shows.

    A folder of which no data set can be made is described all the same, with the error in `error`.

    Raises:
        DataError, FetchError: the data cannot be obtained.
    """
    if folder := data_dir or folders.find_folder(folders.PPMI):
        return inspect_folder(folder, find_options(), has_audit=has_audit, on_scan=on_scan)
    data = load_spect(preset, on_scan=on_scan)
    if montage:
        from dlmi_tasks.spect.cohort.montage import write_montage

        write_montage(montage, CohortSpec(preset))
    return describe(data, has_audit=has_audit)


def inspect_folder(folder: Path, options: Options, *, has_audit: bool, on_scan: Progress) -> dict[str, object]:
    """Describe what a folder holds, who is in and who is out, then the data set that is made of it, or why none is.

    Raises:
        DataError: not a folder.
        FetchError: the archive with the reference regions cannot be obtained.
    """
    preprocessing = Preprocessing()
    found = inspect_download(folder, options)
    has_folds = options.n_folds > 1 or options.holds_out_sites
    download, extracts = read_scans(found, preprocessing, has_slices=has_audit or has_folds, on_scan=on_scan)
    try:
        data = make_dataset(download, extracts, preprocessing)
    except DataError as error:
        return {"report": download.describe(), "error": {"cause": error.cause, "remedy": error.remedy}}
    described = describe(data, has_audit=has_audit)
    return described | {"random_folds": measure_inflation(data)} if has_folds and not has_audit else described


def describe(data: SpectDataset, *, has_audit: bool = False, cache: Path | None = None) -> dict[str, object]:
    """Everything about the data that a reader of its results should know."""
    regions = load_regions(cache)
    found = {
        "name": data.name,
        "source": data.source,
        "is_synthetic": data.is_synthetic,
        "note": data.note,
        "preprocessing": asdict(data.preprocessing),
        "image_shape": list(data.train.images.shape[1:]),
        "splits": {name: summarise(scans, data.class_names) for name, scans in data.splits.items()},
        "reference": describe_reference(data),
        "signal_to_noise": describe_signal(data, regions),
        "sha256": data.sha256,
        "manifest": make_manifest(data, load_key(cache)),
    }
    if isinstance(data, PpmiDataset):
        found["report"] = data.report
    if has_audit:
        found["audit"] = audit_leakage(data)
    return found


def describe_reference(data: SpectDataset) -> dict[str, object]:
    """Reference accuracies for any model: chance, the largest class, four numbers, and the best possible.

    `None`: not known for this data.
    """
    majority = np.bincount(data.train.labels).argmax()
    lda = measure_lda(data.train.extracts, data.train.labels, data.test.extracts, data.test.labels)
    ceiling = bound = efficiency = None
    if isinstance(data, SyntheticDataset):
        ceiling = compute_ceiling(data.spec.preset, data.spec.separation)
        bound = compute_ceiling(data.spec.preset, data.spec.separation, has_gradient=True)
        efficiency = None if lda is None else compute_efficiency(lda, ceiling)
    return {
        "accuracy_uniform_chance": 1 / len(data.class_names),
        "accuracy_majority_class": float((data.test.labels == majority).mean()),
        "accuracy_lda_on_measured_ratios": lda,
        "efficiency_lda_on_measured_ratios": efficiency,
        "accuracy_ceiling_of_ratios": ceiling,
        "accuracy_ceiling_with_gradient": bound,
    }


def describe_signal(data: SpectDataset, regions: Regions) -> dict[str, object]:
    """Striatal contrast over noise of the training scans; see preprocess.py for what the two figures say."""
    planes = normalise(data.train.extracts, data.preprocessing.normalisation)
    snr = compute_image_snr(planes, regions)
    labels = data.train.labels
    return {
        "image_snr_median": float(np.median(snr)),
        "image_snr_median_by_class": {
            name: float(np.median(snr[labels == i])) for i, name in enumerate(data.class_names) if (labels == i).any()
        },
        "pooled_snr": compute_pooled_snr(planes, regions),
    }
