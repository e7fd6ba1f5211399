"""Nodes of a Slurm cluster: jobs that each run one Dask worker, for as long as the run lasts.

The scheduler lives in the driver's process, so that no service has to be there; a job that ends early (time limit,
`scancel`, a node that fails) is asked for again. Its worker ends by itself when the driver is gone.
"""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from distributed import LocalCluster
from submitit import AutoExecutor, Job
from submitit.core.utils import FailedJobError

from dlmi_bench.errors import MeasurementError, UnavailableError
from dlmi_bench.suite.engines import Patience
from dlmi_bench.suite.engines.dask import EXCLUSIVE, DaskEngine, connect
from dlmi_bench.suite.engines.options import SlurmOptions

GONE_S = 60  # after which a worker ends that finds no scheduler
FOLDER = "slurm"  # in that of the results: scripts and logs of the jobs


class Jobs:
    """As many jobs as nodes are asked for; one that ended early is asked for again, later each time."""

    def __init__(self, options: SlurmOptions, address: str, folder: Path) -> None:
        self._options, self._address = options, address
        self._executor = _make_executor(options, folder)
        self._jobs: list[Job[int]] = []
        self._n_lost, self._due_s = 0, 0.0
        while len(self._jobs) < options.nodes:
            self._submit()

    def _submit(self) -> None:
        try:
            self._jobs.append(self._executor.submit(run_worker, self._address, self._options.cpus))
        except (FailedJobError, OSError, RuntimeError) as error:
            said = str(error).strip().splitlines()
            remedy = "correct the options of --with, or see why `sbatch` refuses"
            raise UnavailableError(f"no job can be submitted: {said[-1] if said else error}", remedy) from error

    def mend(self) -> None:
        """Ask again for jobs that have ended.

        Raises:
            MeasurementError: they end again and again.
        """
        kept = [job for job in self._jobs if not _has_ended(job, self._options.cluster)]
        n_lost = len(self._jobs) - len(kept)
        if not n_lost or time.monotonic() < self._due_s:
            return
        self._n_lost += n_lost
        if not kept and self._n_lost > len(Patience.PAUSES_S) * self._options.nodes:
            cause = f"{self._n_lost} jobs have ended early: {_read_last(self._jobs[-1])}"
            raise MeasurementError(cause, f"see the logs in {self._executor.folder}; what has ended is kept")
        n_rounds = min(self._n_lost // self._options.nodes, len(Patience.PAUSES_S) - 1)
        self._due_s = time.monotonic() + Patience.PAUSES_S[n_rounds]
        self._jobs = kept
        for _ in range(n_lost):
            self._submit()

    def cancel(self) -> None:
        """End all jobs."""
        for job in self._jobs:
            with suppress(Exception):  # one that has ended
                job.cancel(check=False)


def run_worker(address: str, n_cpus: int) -> int:
    """Be a node: run a Dask worker until the driver has no more work. Called in a job."""
    from dlmi_bench.instruments.pinning import list_cpus

    n_threads = n_cpus or len(list_cpus()) or 1
    with TemporaryDirectory(prefix="dlmi-bench-") as scratch:
        words = ["--nthreads", str(n_threads), "--resources", f"{EXCLUSIVE}=1", "--local-directory", scratch]
        words += ["--death-timeout", str(GONE_S), "--no-dashboard"]
        command = [sys.executable, "-P", "-m", "distributed.cli.dask_worker", address, *words]
        return subprocess.run(command, check=False).returncode


def open_slurm(options: SlurmOptions, folder: Path) -> DaskEngine:
    """Ask for nodes, and wait for the first one.

    Raises:
        UnavailableError: there is no Slurm here, it refuses, or no node has come in time.
    """
    cluster = LocalCluster(n_workers=0, host=options.host or _find_address(options), dashboard_address="127.0.0.1:0")
    try:
        jobs = Jobs(options, cluster.scheduler_address, folder)
    except BaseException:
        cluster.close()
        raise

    def end() -> None:
        jobs.cancel()
        cluster.close()

    return connect(cluster.scheduler_address, folder, options.patience_s, end=end, mend=jobs.mend)


def _find_address(options: SlurmOptions) -> str:
    """Address by which nodes reach this machine."""
    import socket

    return "127.0.0.1" if options.cluster == "local" else socket.gethostbyname(socket.gethostname())


def _make_executor(options: SlurmOptions, folder: Path) -> AutoExecutor:
    try:
        executor = AutoExecutor(folder=folder / FOLDER, cluster=options.cluster)
    except RuntimeError as error:
        raise UnavailableError(
            f"no Slurm here: {error}", "run it where `sbatch` is, or name --executor dask"
        ) from error
    parameters: dict[str, Any] = {"name": "dlmi-bench", "timeout_min": options.minutes, "nodes": 1, "tasks_per_node": 1}
    own = {name: getattr(options, name) for name in ("partition", "account", "qos", "constraint", "gres")}
    parameters |= {f"slurm_{name}": value for name, value in own.items() if value}
    parameters |= {"slurm_setup": list(options.setup)} if options.setup else {}
    parameters |= {"slurm_exclusive": True} if options.is_exclusive else {}
    parameters |= {"cpus_per_task": options.cpus} if options.cpus else {}
    parameters |= {"mem_gb": options.memory_gb} if options.memory_gb else {}
    executor.update_parameters(**parameters)
    return executor


def _has_ended(job: "Job[int]", cluster: str) -> bool:
    """Tell whether a job has ended. The queue knows; the accounts, which submitit asks, are not kept everywhere."""
    if cluster == "local":
        return bool(job.done())
    command = ("squeue", "-h", "-j", job.job_id, "-o", "%T")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:  # it is not known any more, or Slurm is busy
        return "Invalid job id" in done.stderr
    return not done.stdout.strip()


def _read_last(job: "Job[int]") -> str:
    """What a job said last."""
    said = (job.stderr() or job.stdout() or "").strip().splitlines()
    return said[-1] if said else "it said nothing"
