"""Search path for modules: this project's and its libraries' first, the user's own last.

The folder that a user stands in, or one on PYTHONPATH, may hold a `models/`, `torch.py` or `random.py`. None of them
may take the place of what this program imports. Nothing but `os` and `sys` is imported here, since this runs first.
"""

import os
import sys

OWN_PACKAGES = ("dlmi_bench", "dlmi_models", "dlmi_tasks", "dlmi_reports")
USER_PATH = "DLMI_BENCH_USER_PATH"  # what a worker appends to its path


def put_own_first() -> None:
    """Move the user's folders behind all others, in the process of a command."""
    own, users = _split_python_path()
    users += ["", os.getcwd()]  # noqa: PTH109 - pathlib imports too much
    kept = [entry for entry in sys.path if entry not in users]
    sys.path[:] = [*kept, *(entry for entry in sys.path if entry in users and entry not in own)]


def protect_child(environment: dict[str, str]) -> None:
    """Change the environment of a child process, so that only `append_user_path` lets it see the user's folders."""
    own, users = _split_python_path()
    users += [folder for folder in environment.get(USER_PATH, "").split(os.pathsep) if folder]
    environment.pop("PYTHONWARNINGS", None)  # as errors, the warnings of libraries would end it
    environment |= {"PYTHONPATH": os.pathsep.join(own), "PYTHONSAFEPATH": "1", USER_PATH: os.pathsep.join(users)}


def list_user_folders() -> list[str]:
    """List the folders in which this process finds code of the user's: those on PYTHONPATH, and its own."""
    return [*_split_python_path()[1], os.getcwd()]  # noqa: PTH109 - pathlib imports too much


def append_user_path(*folders: str) -> None:
    """Append the user's PYTHONPATH and `folders`, where they are not there yet."""
    users = [*os.environ.get(USER_PATH, "").split(os.pathsep), *folders]
    sys.path += [folder for folder in dict.fromkeys(users) if folder and folder not in sys.path]


def _split_python_path() -> tuple[list[str], list[str]]:
    """Entries of PYTHONPATH that hold a package of this project, and all others, as absolute paths."""
    entries = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]  # noqa: PTH100
    own = [e for e in entries if any(os.path.isdir(os.path.join(e, name)) for name in OWN_PACKAGES)]  # noqa: PTH112, PTH118
    return own, [entry for entry in entries if entry not in own]
