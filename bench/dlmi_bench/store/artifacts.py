"""Files of a store under their hash, which is checked at every reading."""

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlmi_bench.errors import DataError, StoreError, describe_cause
from dlmi_bench.files import atomic_file, read_bytes, resolve_inside
from dlmi_bench.records import Artifact

if TYPE_CHECKING:
    from numpy.typing import NDArray

AGAIN = "the same `dlmi-bench run` makes it again"


def artifact_path(folder: Path, artifact: Artifact) -> Path:
    """Path of the artifact in the store of `folder`."""
    return folder / "artifacts" / artifact.sha256[:2] / f"{artifact.sha256}{artifact.suffix}"


def read_artifact(folder: Path, artifact: Artifact) -> bytes:
    """Content of an artifact, which is what its name and the record say: every reading of one goes through here.

    Raises:
        StoreError: it is missing, damaged, no regular file, or lies elsewhere.
    """
    path = artifact_path(folder, artifact)
    try:
        content = read_bytes(resolve_inside(folder, str(path.relative_to(folder))), artifact.size_bytes)
    except (OSError, DataError) as error:
        raise StoreError(
            f"{path}: {artifact.role} file is missing or damaged ({describe_cause(error)})", AGAIN
        ) from error
    if hashlib.sha256(content).hexdigest() != artifact.sha256:
        raise StoreError(f"{path}: {artifact.role} file is damaged: its content is not what its name says", AGAIN)
    return content


def find_artifact(folder: Path, artifact: Artifact) -> Path:
    """Path of an artifact whose content was checked, for programs that open files by name.

    Raises:
        StoreError: see `read_artifact`.
    """
    read_artifact(folder, artifact)
    return artifact_path(folder, artifact)


def put_artifact(folder: Path, role: str, content: bytes, suffix: str) -> Artifact:
    """Keep bytes under their hash; atomic. A damaged file of that name is replaced."""
    sha256 = hashlib.sha256(content).hexdigest()
    artifact = Artifact.model_validate({"role": role, "sha256": sha256, "size_bytes": len(content), "suffix": suffix})
    path = artifact_path(folder, artifact)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(content)
    return artifact


TRAIT = "test_trait."  # role of the subgroups of test examples, before a number; provenance has the names


def put_array(folder: Path, role: str, array: "NDArray[Any]") -> Artifact:
    """Keep an array of numbers or text under its hash."""
    return put_artifact(folder, role, to_npy(array), ".npy")


def to_npy(array: "NDArray[Any]") -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
