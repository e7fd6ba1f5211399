"""Directives that write pages of the reference from the code: `{commands}`, `{answers}` and `{source}`."""

import json
import re
from collections.abc import Iterator
from inspect import getsource
from typing import Any, ClassVar

import typer
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.cli import get_docs_for_click

from dlmi_bench.cli.main import app
from dlmi_bench.cli.schemas import ANSWERS, make_schema


class Written(SphinxDirective):
    """Markdown that is made when the site is built."""

    def write(self) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(self.write(), allow_section_headings=True)


class Commands(Written):
    """Every command with its arguments and options, as `--help` has them."""

    def write(self) -> str:
        command = typer.main.get_command(app)
        text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="dlmi-bench")
        text = text.partition("\n## ")[2]  # the overview is the page's own
        return ("## " + text).replace("**Usage**:\n\n", "").replace("```console\n$ ", "```text\n")


class Answers(Written):
    """The answer that each command prints with --json: its fields, and the file with the whole schema."""

    def write(self) -> str:
        return "\n".join(line for name in ANSWERS for line in self.describe(name))

    def describe(self, name: str) -> Iterator[str]:
        schema = make_schema(name)
        whole = f"Whole schema: [{name}.json](../schemas/{name}.json)"
        yield from (f"## {name}", "", schema.get("description", ""), "", whole, "")
        yield from ("| field | type | |", "| --- | --- | --- |")
        for field, content in schema["properties"].items():
            said = content.get("description", "").replace("\n", " ")
            yield f"| `{field}` | {describe_type(content)} | {said} |"
        yield ""


def describe_type(content: dict[str, Any]) -> str:
    """Say in words of what type a field is."""
    if "$ref" in content:
        return str(content["$ref"]).rpartition("/")[2]
    if choices := content.get("anyOf") or content.get("oneOf"):
        return " or ".join(map(describe_type, choices))
    if "enum" in content or "const" in content:
        return ", ".join(json.dumps(value) for value in content.get("enum", [content.get("const")]))
    if content.get("type") == "array":
        return f"list of {describe_type(content.get('items', {}))}"
    return str(content.get("type", "any"))


class Source(Written):
    """Part of a module as it stands, by its dotted name."""

    required_arguments = 1
    option_spec: ClassVar = {"language": directives.unchanged}

    def write(self) -> str:
        from importlib import import_module

        module, _, name = self.arguments[0].rpartition(".")
        value = getattr(import_module(module), name)
        text = value if isinstance(value, str) else getsource(value)
        return f"```{self.options.get('language', 'python')}\n{text.strip()}\n```"


def name_anchors(_: Sphinx, name: str, source: list[str]) -> None:
    """Turn the anchors of the committed report, which every reader of Markdown knows, into targets of MyST."""
    if name == "docs/results/details":
        source[0] = re.sub(r'<a id="(section-\d+)"></a>', r"(\1)=", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", name_anchors)
    app.add_directive("commands", Commands)
    app.add_directive("answers", Answers)
    app.add_directive("source", Source)
    return {"parallel_read_safe": True}
