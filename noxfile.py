"""Sessions: `nox -s bench` does everything, `nox -s tests` checks everything.

One shared environment (`env`) serves all sessions but `wheel` and `minimums`, which need their own.
Installs use pip, so that a mirror or an offline index that pip is configured for just works.
"""

import argparse
import os
import shutil
import subprocess
import tomllib
from datetime import date
from itertools import chain
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests"]

ROOT = Path(__file__).parent
ENV_BIN = ROOT / ".nox" / "env" / "bin"
CONSTRAINTS = ["-c", str(ROOT / "constraints.txt")]
PACKAGES = ["dlmi_bench", "dlmi_models", "dlmi_tasks", "dlmi_reports"]

in_env = nox.session(venv_backend="none", requires=["env"])


# The fast tests time nothing that they judge, so they may share the machine. Slow ones and benchmarks have it alone.
IN_PARALLEL = ["-n", "2", "--dist", "loadfile"]


def run(session: nox.Session, program: str, *args: str, **kwargs) -> None:
    """Run `program` of the shared environment."""
    session.run(str(ENV_BIN / program), *args, external=True, **kwargs)


def share_env(session: nox.Session, line: str = "{}") -> Path:
    """Let the session's environment see the libraries of the shared one; returns its interpreter."""
    python = next(path for path in (Path(session.bin) / "python", Path(session.bin) / "python.exe") if path.exists())
    where = ("-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    own, shared = (
        str(session.run(str(program), *where, silent=True, external=True)).strip()
        for program in (python, ENV_BIN / "python")
    )
    Path(own, "shared.pth").write_text(line.format(shared) + "\n")
    return python


@nox.session(default=False)
def env(session: nox.Session) -> None:
    """The shared environment: this project, editable, with exact versions."""
    session.install(*CONSTRAINTS, "-e", ".[dev]")


@in_env
def bench(session: nox.Session) -> None:
    """Run the default suite to a finished report in out/report (arguments after -- go to `run`)."""
    run(session, "dlmi-bench", "run", "--report", *session.posargs)


@in_env
def frontier(session: nox.Session) -> None:
    """Search the compact nets and train the winners with 20 seeds, on digits or (-- frontier-slices) slices."""
    (name,) = session.posargs or ("frontier",)
    run(session, "dlmi-bench", "tune", "--space", name, "--out", f"out/{name}")
    run(session, "dlmi-bench", "run", "--suite", name, "--report", "--out", f"out/{name}")


@in_env
def smoke(session: nox.Session) -> None:
    """The smallest suite from nothing to a report, in a folder of its own."""
    out = str(Path(session.create_tmp()).resolve() / "smoke")
    run(session, "dlmi-bench", "run", "--report", "--suite", "smoke", "--fresh", "--out", out)


@in_env
def tests(session: nox.Session) -> None:
    """The fast tests; `-- -m slow` runs the slow ones."""
    run(session, "python", "-m", "pytest", *(session.posargs or IN_PARALLEL))


# Other processors, machines and accounts, as far as this one can act them: variables, and what runs the tests. ONNX
# Runtime has no variable for its kernels. The time zone, 13 h 45 min ahead of Greenwich, needs no database of them.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
HIDE = ["sh", "-c", 'mount -t tmpfs none /sys && exec "$@"', "sh"]
PROCESSORS: dict[str, tuple[dict[str, str], list[str]]] = {
    "sse": ({"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OPENBLAS_CORETYPE": "Nehalem"}, []),
    "avx2": ({"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell"}, []),
    "numpy": ({"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}, []),
    "one-cpu": ({}, ["taskset", "-c", "0"]),
    "one-thread": (dict.fromkeys(THREADS, "1"), []),
    "four-threads": (dict.fromkeys(THREADS, "4"), []),
    "c-locale": ({"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, []),
    "time-zone": ({"TZ": "EARLY-13:45"}, []),
    "hidden-sys": ({}, ["unshare", "-m" if hasattr(os, "geteuid") and os.geteuid() == 0 else "-rm", *HIDE]),
}


def find_missing(prefix: list[str]) -> str:
    """Why this machine cannot run a program in this way; empty where it can."""
    try:
        done = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip() or f"exit code {done.returncode}" if done.returncode else ""


@in_env
def processors(session: nox.Session) -> None:
    """The fast tests as on other machines, an hour; `-- --only NAME` on one, `-- --today` a fifth of the day's."""
    parser = argparse.ArgumentParser(prog="nox -s processors --")
    parser.add_argument("--only", choices=PROCESSORS, action="append", default=[])
    parser.add_argument("--today", action="store_true")
    asked, rest = parser.parse_known_args(session.posargs)
    names, red = list(PROCESSORS), []
    if asked.today:  # another fifth when its turn comes again
        turn, day = divmod(date.today().toordinal(), len(names))
        asked.only.append(names[day])
        rest += map(str, sorted(Path("tests").glob("test_*.py"))[turn % 5 :: 5])
    for name in asked.only or names:
        variables, prefix = PROCESSORS[name]
        if missing := find_missing(prefix):
            session.warn(f"{name}: not available: {missing}")
            continue
        session.log(f"{name}: the tests")
        try:
            command = (*prefix, str(ENV_BIN / "python"), "-m", "pytest", *IN_PARALLEL, *rest)
            session.run(*command, env=variables, external=True)
        except nox.command.CommandFailed:
            red.append(name)
    if red:
        session.error(f"red on {', '.join(red)}")


RUNTIME_TESTS = ("backends", "compare", "counts", "native", "native_files", "native_oracles", "profile", "reports")


@in_env
def runtimes(session: nox.Session) -> None:
    """The slow tests of runtimes: compilers, counts of whole networks, models that are wrong in every way."""
    files = [f"tests/test_{name}.py" for name in RUNTIME_TESTS]
    run(session, "python", "-m", "pytest", *(session.posargs or ("-m", "slow", *files)))


@nox.session(default=False)
def core(session: nox.Session) -> None:
    """What the package does without its extras, installed without them: ONNX files, the gate, and what it refuses."""
    session.install(*CONSTRAINTS, ".", "pytest")
    session.install(*CONSTRAINTS, "--force-reinstall", "--no-deps", ".")  # pip keeps an older build of the same version
    shared = ("--noconftest", "-o", "addopts=")  # what the others share needs torch
    session.run("python", "-P", "-m", "pytest", *shared, "-m", "core", "tests/test_core.py", *session.posargs)


@in_env
def fuzz(session: nox.Session) -> None:
    """Damage to files of every format, 10 000 in 10 minutes, with a table; the fast tests try 500. `-- --n N`."""
    run(session, "python", "tests/fuzz.py", *session.posargs)


@in_env
def lint(session: nox.Session) -> None:
    """Style, and the floors: imports only go down."""
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")
    run(session, "lint-imports", "--no-cache")


@in_env
def types(session: nox.Session) -> None:
    """Static types."""
    run(session, "python", "-m", "mypy")


@in_env
def gate(session: nox.Session) -> None:
    """Judge this project's headline models, exported again, against the committed baseline.

    What is worse, broken or not comparable stops it. What the machine did not let be judged, twice, is reported: on a
    shared machine it says nothing about the change.
    """
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    where = [
        "--junit",
        str(Path(session.create_tmp()).resolve() / "gate.xml"),
        "--json-file",
        str(Path(session.create_tmp()).resolve() / "gate.json"),
        *(["--summary", summary] if summary else []),
    ]
    run(session, "dlmi-bench", "gate", "--settings", str(ROOT / "gate.toml"), *where, *session.posargs)


@nox.session(name="gate-selftest", venv_backend="none", requires=["env"])
def gate_selftest(session: nox.Session) -> None:
    """Measure the gate itself: sessions of known truth, quiet and with a hog. About an hour; can be interrupted.

    The table is written to out/gate-selftest.md; `-- --markdown docs/gate-selftest.md` replaces the committed one.
    """
    page = ("--markdown", str(ROOT / "out" / "gate-selftest.md"))
    for n_sessions, extra, hogs in ((60, 0.0, 0), (30, 0.1, 0), (30, 0.05, 0), (60, 0.0, 1), (30, 0.1, 1)):
        arguments = ("--sessions", str(n_sessions), "--extra-calls", str(extra), "--hogs", str(hogs))
        run(session, "python", "-m", "dlmi_bench.selftest.gate", *page, *arguments, *session.posargs)


@nox.session(default=False, requires=["env"])
def selftest(session: nox.Session) -> None:
    """Measure the harness itself, and other tools on the same spins: out/selftest.json and .md. Twelve minutes.

    Arguments after -- go to dlmi_bench.selftest, `--part coverage` for instance; `--markdown docs/selftest.md`
    replaces the committed page.

    The tools get an environment of their own, which sees the shared one: torch is not installed twice.
    """
    python = share_env(session)
    install = ("python", "-m", "pip", "install", "-q", *CONSTRAINTS)
    for line in (ROOT / "bench" / "dlmi_bench" / "selftest" / "tools" / "requirements.txt").read_text().splitlines():
        if tool := line.partition("#")[0].strip():
            session.run(*install, tool, success_codes=range(256))  # what is missing says so
    out = ROOT / "out"
    files = ("--out", str(out / "selftest.json"), "--markdown", str(out / "selftest.md"))
    run(session, "python", "-m", "dlmi_bench.selftest", "--peers", str(python), *files, *session.posargs)


# Pages of the guide that a test follows; CI takes one a day, in turn.
GUIDE = [path for name in ("tutorials", "guide") for path in sorted((ROOT / "docs" / name).glob("*.md"))]
FOLLOWED = ["notebook", *(path.stem for path in GUIDE if "```console" in path.read_text(encoding="utf-8"))]


@in_env
def studies(session: nox.Session) -> None:
    """Own models, data and folders, and the API, end to end: 5 minutes. What they measure nobody judges."""
    files = [f"tests/test_{name}.py" for name in ("study", "init", "api", "search_path", "report_subgroups")]
    run(session, "python", "-m", "pytest", "-m", "slow", "-n", "2", *files, *session.posargs)


@nox.session(default=False, requires=["env"])
def examples(session: nox.Session) -> None:
    """Follow the README and every page of the guide, examples included, 15 minutes; `-- --today` the day's page.

    scikit-learn and Jupyter get an environment of their own, which sees the shared one: users need neither.
    """
    share_env(session, "import site; site.addsitedir({!r})")  # with editable installs in it
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["examples"]
    session.run("python", "-m", "pip", "install", "-q", *CONSTRAINTS, *needed)
    rest = [word for word in session.posargs if word != "--today"]
    if "--today" in session.posargs:
        rest += ["-k", FOLLOWED[date.today().toordinal() % len(FOLLOWED)]]
    files = ("tests/test_guide.py", "tests/test_examples.py")
    session.run("python", "-m", "pytest", "-m", "slow", "--durations=0", *files, *rest)


@nox.session(default=False, requires=["env"])
def firmware(session: nox.Session) -> None:
    """Images for microcontrollers, built and simulated: an environment with the extra `mcu`, 0.4 GB, three minutes.

    gcc for Arm and QEMU judge them too where they are installed (apt-get install --no-install-recommends
    gcc-arm-none-eabi qemu-system-arm qemu-system-misc); what is not available is named among the reasons of skips.
    """
    share_env(session, "import site; site.addsitedir({!r})")
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["mcu"]
    session.run("python", "-m", "pip", "install", "-q", *CONSTRAINTS, *needed)
    files = map(str, sorted(Path("tests").glob("test_firmware*.py")))
    session.run("python", "-m", "pytest", "-m", "not benchmark", "-rs", *files, *session.posargs)


@in_env
def engines(session: nox.Session) -> None:
    """Runs over nodes: Dask with processes that are killed, and a Slurm of one node where it is installed; 10 minutes.

    Slurm: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge. DLMI_BENCH_KILLS=60 for a storm.
    """
    files = ("tests/test_engine_plan.py", "tests/test_engines_real.py")
    run(session, "python", "-m", "pytest", "-m", "slow", "-rs", "-s", *files, *session.posargs)


@in_env
def page(session: nox.Session) -> None:
    """The HTML report in a browser: network, sorting, keyboard, phone, axe-core. Needs Chromium and npm."""
    folder = Path(session.create_tmp()).resolve()
    if shutil.which("npm"):
        session.run("npm", "pack", "axe-core@4.14.1", "--pack-destination", str(folder), external=True, silent=True)
    environment = {"DLMI_BENCH_AXE": str(folder / "axe-core-4.14.1.tgz"), "DLMI_BENCH_SCREENSHOTS": str(folder)}
    run(session, "python", "-m", "pytest", "-m", "slow", "tests/test_report_page.py", env=environment)


@in_env
def latex(session: nox.Session) -> None:
    """Compile the LaTeX report of hostile names with pdflatex."""
    run(session, "python", "-m", "pytest", "-m", "slow", "tests/test_report_latex.py")


@in_env
def docs(session: nox.Session) -> None:
    """The guide as a site, out/docs/docs/index.html; warnings are errors, and nothing may load from elsewhere."""
    folder = ROOT / "out" / "docs"
    shutil.rmtree(folder, ignore_errors=True)
    run(session, "python", "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", ".", str(folder), *session.posargs)
    run(session, "python", "-m", "pytest", "-m", "slow", "tests/test_site.py", env={"DLMI_BENCH_SITE": str(folder)})
    session.log(f"open {folder / 'docs' / 'index.html'}")


@in_env
def schema(session: nox.Session) -> None:
    """Write docs/report.schema.json, and docs/schemas/ for what commands print with --json."""
    program = (
        "import json; from dlmi_reports.formats.json import make_schema; print(json.dumps(make_schema(), indent=2))"
    )
    with (ROOT / "docs" / "report.schema.json").open("w") as file:
        run(session, "python", "-c", program, stdout=file)
    folder = str(ROOT / "docs" / "schemas")
    program = "import sys; from pathlib import Path; from dlmi_bench.cli.schemas import write_schemas"
    run(session, "python", "-c", f"{program}; write_schemas(Path(sys.argv[1]))", folder)


@in_env
def reference(session: nox.Session) -> None:
    """Write docs/results/ again: `nox -s reference -- STORE...`, several are merged; out/ by default."""
    stores = session.posargs or ["out"]
    if len(stores) > 1:
        merged = Path(session.create_tmp()).resolve() / "merged"
        shutil.rmtree(merged, ignore_errors=True)
        run(session, "dlmi-bench", "merge", *stores, "--to", str(merged))
        stores = [str(merged)]
    folder = ROOT / "docs" / "results"
    shutil.rmtree(folder, ignore_errors=True)
    formats = ("--format", "md", "--format", "html")  # what is read; figures for machines would outgrow a repository
    run(session, "dlmi-bench", "report", "--out", stores[0], "--to", str(folder), *formats)
    page = str(folder / "report.html")
    run(session, "python", "-m", "dlmi_reports.front.picture", stores[0], page, str(folder))


@in_env
def microbench(session: nox.Session) -> None:
    """Benchmarks of the suite's own code, and a row for each default model, runtime and batch: out/microbench.json.

    `-- -k mlp-64-32` takes some rows, `-- -m benchmark` the full-size models too; `dlmi-bench import-benchmark` reads
    the file.
    """
    to = ROOT / "out" / "microbench.json"
    to.parent.mkdir(exist_ok=True)
    settings = ("--benchmark-enable", "--benchmark-disable-gc", f"--benchmark-json={to}")
    run(session, "python", "-m", "pytest", "-m", "benchmark and not slow", *settings, "-s", *session.posargs)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Write constraints.txt again: exact versions that hold for every supported Python and platform."""
    session.install("uv")
    path = ROOT / "constraints.txt"
    extras = [word for name in ("dev", "examples", "mcu") for word in ("--extra", name)]
    compile_ = ("uv", "pip", "compile", "--universal", "--python-version", "3.11", *extras)
    session.run(*compile_, "--no-header", "--no-annotate", "-o", str(path), *session.posargs, "pyproject.toml")
    first = "# Exact versions for every environment of this project; made from pyproject.toml by `nox -s lock`.\n"
    path.write_text(first + path.read_text())


# Commands, workers and files that are data: what a wheel could lack. All else is the same code as in the checkout.
IN_A_WHEEL = "claims cli init modules spect_task usps".split()


@nox.session(default=False, requires=["env"])
def wheel(session: nox.Session) -> None:
    """Build the wheel, inspect it, install it elsewhere, run what it could lack away from the checkout.

    Its libraries are those of the shared environment, which does not show the checkout there.
    `-- -n 2 --dist loadfile` runs all tests there.
    """
    dist = Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.install(*CONSTRAINTS, "build", "check-wheel-contents")
    session.run("python", "-m", "build", "--outdir", str(dist), ".", silent=True)
    (built,) = dist.glob("*.whl")
    session.run("check-wheel-contents", "--toplevel", ",".join(PACKAGES), "--ignore", "W004", str(built))
    share_env(session)
    session.install("--force-reinstall", "--no-deps", str(built))  # pip keeps an older build of the same version
    away = Path(session.create_tmp()) / "away"
    shutil.rmtree(away, ignore_errors=True)
    shutil.copytree(ROOT / "tests", away / "tests")
    shutil.copy(ROOT / "pyproject.toml", away)  # pytest's settings and markers
    shared = os.environ.get("DLMI_BENCH_SHARED", str(ROOT.parent / "shared"))
    session.chdir(away)
    files = [f"tests/test_{name}.py" for name in IN_A_WHEEL]
    session.run(
        "python", "-m", "pytest", *(session.posargs or (*IN_PARALLEL, *files)), env={"DLMI_BENCH_SHARED": shared}
    )


@nox.session(default=False)
def minimums(session: nox.Session) -> None:
    """The tests with the lowest version of each direct dependency that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    ours = (
        extras[name]
        for name in ("torch", "energy", "plots", "spect", "register", "openvino", "parquet", "xlsx", "zstd")
    )
    wanted = [word for word in chain(project["dependencies"], *ours) if not word.startswith("dlmi-bench")]
    lowest = [word.replace(">=", "==") for word in wanted]
    session.install("-e", ".[all,test]", *lowest)
    session.run("python", "-m", "pytest", *session.posargs)
