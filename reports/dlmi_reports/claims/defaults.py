"""Default claims about a model of one's own, as text of a TOML file that can be edited."""

import hashlib
import json
import re
from collections.abc import Sequence
from itertools import combinations

MARGIN = 0.02
BLOCK = """
[[claim]]
id = {id}
task = {task}
model = {mine}
against = [{other}]
sentence = {sentence}
source = "dlmi-bench, default question"
{test}
"""
# By the question in the id: the sentence, and the fields of its test.
QUESTIONS = {
    "accuracy": (
        f"{{mine}} is less than {100 * MARGIN:g} points less accurate than {{other}}.",
        f'kind = "non_inferior"\nmargin = {MARGIN}',
    ),
    "parameters": ("{mine} has fewer parameters than {other}.", 'kind = "ordered"\nmetric = "n_parameters"'),
    "latency": (
        "{mine} answers faster than {other} (ONNX Runtime, batch 1).",
        'kind = "ratio"\nmetric = "latency_s"\nbackend = "onnxruntime"\nbatch = 1\nthreads = 1',
    ),
}


def make_default_claims(task: str, mine: str, others: list[str], *, prefix: str = "") -> str:
    """Ask of each other model: is `mine` as accurate, has it fewer parameters, is it faster? Empty without others.

    Args:
        prefix: Begins each id, where one file asks about several tasks.
    """
    return "".join(
        BLOCK.format(
            id=_quote(f"{prefix and _make_id(prefix) + '-'}{_make_id(mine)}-{question}-vs-{_make_id(other)}"),
            task=_quote(task),
            mine=_quote(mine),
            other=_quote(other),
            sentence=_quote(sentence.format(mine=mine, other=other)),
            test=test,
        )
        for other in dict.fromkeys(others)
        if other != mine
        for question, (sentence, test) in QUESTIONS.items()
    ).lstrip()


POINT = 0.01
PAIR = """
[[claim]]
id = {id}
kind = "paired"
task = {task}
model = {first}
control_model = {second}
sentence = {better}
source = "dlmi-bench, default question"
nearest = {alike_id}

[[claim]]
id = {alike_id}
kind = "bounded"
role = "secondary"
task = {task}
model = {first}
control_model = {second}
margin = {margin}
sentence = {alike}
source = "dlmi-bench, default question"
"""


def make_pair_claims(task: str, names: Sequence[str], margin: float = POINT) -> str:
    """Ask of each pair: is the first more accurate than the second, and do they differ by less than a margin?

    Where the first is not, the refutation says that the second is: so the order must not depend on what was observed.
    """
    points = f"{100 * margin:.4g} {'point' if margin == POINT else 'points'}"
    return "".join(
        PAIR.format(
            id=_quote(f"{_make_id(first)}-better-than-{_make_id(second)}"),
            alike_id=_quote(f"{_make_id(first)}-alike-{_make_id(second)}"),
            task=_quote(task),
            first=_quote(first),
            second=_quote(second),
            better=_quote(f"{first} is more accurate than {second}."),
            alike=_quote(f"The accuracies of {first} and {second} differ by less than {points}, either way."),
            margin=margin,
        )
        for first, second in combinations(names, 2)
    ).lstrip()


def _make_id(name: str) -> str:
    """Make a part of an id, which is different for different names."""
    kept = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:60]
    return kept if kept == name else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:6]}".strip("-")


def _quote(text: str) -> str:
    """Write a basic string of TOML: JSON's, with the one control character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
