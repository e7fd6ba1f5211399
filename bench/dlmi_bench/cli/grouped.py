"""Help whose options stand in groups: which models and data, how, and what comes out."""

from typing import TYPE_CHECKING

from typer.core import TyperCommand

if TYPE_CHECKING:
    from typer import Context
    from typer._click import HelpFormatter

MIN_OPTIONS = 9  # fewer are read at a glance
WHICH = (
    "suite task model target seed grouping assume_pd register folds hold_out_sites backend seeds shard data_dir "
    "weights_dir input_ output batch_axis classes test batch threads baseline onnx reference against "
    "against_python settings claims file source preset columns "
    "name case_id truth group by ignore positive table costs"
).split()
OUTPUT = (
    "out to format_ with_report pictures plots plot montage summary junit json_file as_json quiet help "
    "install_completion show_completion"
).split()


class Grouped(TyperCommand):
    """A command whose help groups its options where there are many."""

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:  # type: ignore[override]
        """Write arguments, then options by group."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Which": [], "How": [], "Results and output": []}
        params = self.get_params(ctx)
        is_long = sum(param.param_type_name == "option" for param in params) >= MIN_OPTIONS
        for param in params:
            if record := param.get_help_record(ctx):
                groups[_choose_group(param.param_type_name, param.name or "", is_long=is_long)].append(record)
        for title, records in groups.items():
            if records:
                with formatter.section(title if is_long or title == "Arguments" else "Options"):
                    formatter.write_dl(records)


def _choose_group(kind: str, name: str, *, is_long: bool) -> str:
    if kind == "argument":
        return "Arguments"
    if not is_long or name in WHICH:
        return "Which"
    return "Results and output" if name in OUTPUT else "How"
