"""The LaTeX report compiles as it is, whatever models are called."""

import shutil
import subprocess
from pathlib import Path

import pytest

from dlmi_reports import write_report
from report_stores import fill_store


@pytest.mark.slow
def test_latex_compiles(tmp_path: Path) -> None:
    """pdflatex, stopping at the first error."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here; apt-get install texlive-latex-recommended")
    write_report(fill_store(tmp_path / "out"), tmp_path, ["latex"])
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
