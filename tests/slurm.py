"""A Slurm of one node for tests: its daemons in a folder of their own, as long as somebody needs it.

Debian's slurmctld, slurmd, slurm-client and munge, started by hand as root: no service is touched, no cgroup needed.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
CONFIG = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
SchedulerParameters=batch_sched_delay=0,sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={n_cpus} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def find_obstacle() -> str:
    """Why there can be no Slurm here; empty where there can."""
    if missing := [name for name in PROGRAMS if not find_program(name)]:
        return f"not available: no {', '.join(missing)}; install slurmctld, slurmd, slurm-client and munge"
    return "" if os.geteuid() == 0 else "not available: its daemons are started as root"


def find_program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def find_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def slurm(folder: Path) -> Iterator[Path]:
    """The path of a Slurm's configuration, for SLURM_CONF, while it runs."""
    config, key, host = folder / "slurm.conf", folder / "munge.key", socket.gethostname()
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    ports = {"controller": find_port(), "daemon": find_port()}
    config.write_text(CONFIG.format(folder=folder, host=host, n_cpus=os.cpu_count(), **ports))
    environment = os.environ | {"SLURM_CONF": str(config)}
    own = [f"--socket={folder}/munge.socket", f"--key-file={key}", f"--pid-file={folder}/munge.pid"]
    own += [f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed", "--force", "--foreground"]
    commands = {"munged": own, "slurmctld": ["-D"], "slurmd": ["-D"]}
    started = []
    try:
        for name, words in commands.items():
            log = (folder / f"{name}.out").open("w")
            program = find_program(name)
            assert program
            started.append(subprocess.Popen([program, *words], env=environment, stdout=log, stderr=log))
            log.close()
            if name == "munged":
                wait_for((folder / "munge.socket").exists, "munged")
        wait_for(lambda: is_idle(environment), "a node")
        yield config
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def is_idle(environment: dict[str, str]) -> bool:
    command = [str(find_program("sinfo")), "-h", "-o", "%T"]
    return (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout.strip() == "idle"
    )


def wait_for(is_true: Callable[[], bool], what: str, limit_s: float = 120) -> None:
    """Wait until something is true; an error names it."""
    end_s = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < end_s, f"no {what} within {limit_s:g} s"
        time.sleep(0.2)
