"""Pictures of the answer for a page: the terminal as SVG, and the report's first screen as PNG.

`python -m dlmi_reports.front.picture OUT REPORT.html FOLDER`, which `nox -s reference` calls.
"""

import re
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console

from dlmi_bench.store import Store
from dlmi_reports.front.terminal import WIDTH, print_answer

FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # rich's loads its font from another address
SCREEN = "1300,900"


def draw_terminal(store: Store) -> str:
    """Draw what `dlmi-bench report` ends with on a terminal."""
    console = Console(width=WIDTH, record=True, file=StringIO(), force_terminal=True)
    print_answer(store, console)
    return FONT.sub("", console.export_svg(title="dlmi-bench report"))


def photograph(page: Path, to: Path) -> bool:
    """Take a picture of the first screen of a page; False where there is no Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        return False
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={SCREEN}"]
    command = [program, *options, f"--screenshot={to.resolve()}", page.resolve().as_uri()]
    subprocess.run(command, check=True, capture_output=True)
    return True


def main() -> None:
    out, page, folder = map(Path, sys.argv[1:])
    (folder / "terminal.svg").write_text(draw_terminal(Store(out, must_exist=True)), encoding="utf-8")
    if not photograph(page, folder / "report.png"):
        sys.exit("report.png: no Chromium here, so the picture is missing")


if __name__ == "__main__":
    main()
