r"""LaTeX format with booktabs, which pdflatex compiles. All names are text, never commands."""

import re
from pathlib import Path

from dlmi_bench.files import write_text
from dlmi_reports.front.legend import LETTERS
from dlmi_reports.structure import Document, Section, Table

PLAIN = "abcdefghijklmnoprstuvwxyz"  # what LETTERS stand for; there is no small q
PREAMBLE = r"""\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{array,booktabs,longtable}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\setlength{\tabcolsep}{4pt}
\setlength{\emergencystretch}{3em}
\setcounter{secnumdepth}{0}
\begin{document}
"""
SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    '"': r"\textquotedbl{}",
    "-": "-{}",  # two of them would make a dash
    "[": "{[}",  # an optional argument after a row's end otherwise
    "]": "{]}",
    "*": "{*}",
    **{letter: rf"\textsuperscript{{{plain}}}" for letter, plain in zip(LETTERS, PLAIN, strict=True)},
}
LONG_WORD = re.compile(r"\S{13,}")
BREAK = "\0"  # where a long word may end a line; cannot come from outside, see escape_latex


def write_latex(document: Document, folder: Path) -> list[Path]:
    """report.tex: the tables. The plots are SVG, which LaTeX does not read; they are in the other formats."""
    page = document.page
    parts = [
        PREAMBLE + rf"\section*{{{escape_latex(page.title)}}}",
        *map(escape_latex, [*page.answer.sentences, *page.lead]),
    ]
    parts += [line for section in page.sections for line in _format_section(section)]
    return [write_text(folder / "report.tex", "\n\n".join([*parts, r"\end{document}"]) + "\n")]


def _format_section(section: Section) -> list[str]:
    title = f"{section.title}, synthetic data" if section.is_synthetic else section.title
    parts = [rf"\section{{{escape_latex(title)}}}", *map(escape_latex, section.lead)]
    parts += [format_latex(table) for table in section.all_tables]
    parts += _format_list("In words", section.details) + _format_list("What the instruments say", section.notes)
    return parts + [line for part in section.parts for line in _format_section(part)]


def _format_list(title: str, texts: list[str]) -> list[str]:
    items = "\n".join(rf"\item {escape_latex(text)}" for text in texts)
    return [f"\\subsection{{{title}}}\n\\begin{{itemize}}\n{items}\n\\end{{itemize}}"] if texts else []


def format_latex(table: Table) -> str:
    """Format heading, caption, a table that breaks across pages, and notes."""
    columns = "".join(rf">{{\raggedright\arraybackslash}}p{{{w:.4f}\linewidth}}" for w in _compute_widths(table))
    head = " & ".join(rf"\textbf{{{escape_latex(name)}}}" for name in table.header) + r" \\"
    lines = [rf"\subsection{{{escape_latex(table.title)}}}", escape_latex(table.caption), "", r"{\footnotesize"]
    lines += [rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}", r"\toprule", head, r"\midrule", r"\endhead"]
    lines += [" & ".join(map(escape_latex, row)) + r" \\" for row in table.rows]
    lines += [r"\bottomrule", r"\end{longtable}", "}"]
    return "\n".join([*lines, *(f"\n{escape_latex(note)}" for note in table.notes)])


def _compute_widths(table: Table) -> list[float]:
    """Compute widths as shares of the line, by the longest cell of each column."""
    longest = [max(6, min(28, max(map(len, column)))) for column in zip(table.header, *table.rows, strict=True)]
    room = 1 - 0.012 * len(longest)
    return [room * n / sum(longest) for n in longest]


def escape_latex(text: str) -> str:
    """Escape text. Characters that standard fonts lack become code points; long words may be broken."""
    text = " ".join(text.replace(BREAK, "\ufffd").split())
    text = LONG_WORD.sub(lambda found: BREAK.join(re.findall(".{1,6}", found[0])), text)
    return "".join(_escape_character(character) for character in text)


def _escape_character(character: str) -> str:
    if character == BREAK:
        return r"\allowbreak{}"
    if character in SPECIAL:
        return SPECIAL[character]
    # Letters of Latin-1 are in every T1 font.
    is_known = " " <= character <= "~" or ("\xc0" <= character <= "\xff" and character not in "\xd7\xf7")
    return character if is_known else rf"{{[}}U+{ord(character):04X}{{]}}\allowbreak{{}}"
