"""Find where a head lies: a similarity (turn, shift and one scale) that aligns it to the reference, by SimpleITK."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from dlmi_bench.errors import require
from dlmi_tasks.spect.anatomy.grid import VOXEL_MM, Volume
from dlmi_tasks.spect.volumes.stored import Matrix

if TYPE_CHECKING:
    import SimpleITK

SHRINKS, SIGMAS_MM = (4, 2), (8.0, 4.0)  # from coarse to fine
LEARNING_RATE, MIN_STEP, N_ITERATIONS = 2.0, 1e-3, 300
MIN_GRADIENT = 1e-8  # the correlation changes so little with a turn that the default stops a degree too early


def find_placement(volume: Volume, reference: Volume) -> Matrix:
    """Align by correlation, every voxel counted, on one thread: the same result each time.

    Returns:
        Position on the study's grid to position in `volume`, both from the centre to the patient's left, back and up
        [mm], (4, 4).

    Raises:
        UnavailableError: the package is not installed.
    """
    require("register", "registration")
    with _one_thread():
        return _align(_make_image(reference), _make_image(volume))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums are cut by the number of threads, and their last digits differ with it, so that a result would, too.

    The setting is SimpleITK's own for the whole process; those of a single method do not reach all of its parts.
    """
    import SimpleITK

    n_threads = SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads()
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(n_threads)


def _align(fixed: "SimpleITK.Image", moving: "SimpleITK.Image") -> Matrix:
    import SimpleITK

    start = SimpleITK.CenteredTransformInitializer(
        fixed, moving, SimpleITK.Similarity3DTransform(), SimpleITK.CenteredTransformInitializerFilter.MOMENTS
    )
    method = _make_method()
    method.SetInitialTransform(start, inPlace=False)
    found = SimpleITK.CompositeTransform(method.Execute(fixed, moving)).GetNthTransform(0)
    return _to_matrix(found)


def _make_method() -> "SimpleITK.ImageRegistrationMethod":
    import SimpleITK

    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        LEARNING_RATE, MIN_STEP, N_ITERATIONS, gradientMagnitudeTolerance=MIN_GRADIENT
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(SHRINKS)
    method.SetSmoothingSigmasPerLevel(SIGMAS_MM)
    return method


def _make_image(volume: Volume) -> "SimpleITK.Image":
    """The volume with its centre at 0; SimpleITK counts columns, rows and slices as we do, [mm]."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.asarray(volume, dtype=np.float32))
    image.SetSpacing([VOXEL_MM] * 3)
    image.SetOrigin([-(n - 1) / 2 * VOXEL_MM for n in volume.shape[::-1]])
    return image


def _to_matrix(transform: "SimpleITK.Transform") -> Matrix:
    """The transform, which is affine, as a matrix: where it takes 0 and the unit vectors."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    ends = [transform.TransformPoint(tuple(unit)) for unit in np.eye(3).tolist()]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.transpose(ends) - origin[:, None], origin
    return matrix
