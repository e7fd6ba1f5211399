"""Ways of making a net compact, by name: `mlp-64-32+pruned-1500`, `conv-12-18-20+distilled+int3`.

They stand in one order, that in which they act: `distilled`, `lowrank`, `pruned`, bits. So a net has one name. The
numbers that belong to a way, its epochs and learning rates, are the recipe's.
"""

from dataclasses import dataclass
from typing import Literal

ARM = "+"
Kind = Literal["distilled", "lowrank", "pruned", "folded", "bits"]
KINDS: tuple[Kind, ...] = ("distilled", "lowrank", "pruned", "folded", "bits")  # in the order in which they act
BITS = {"int8": 8, "int4": 4, "int3": 3, "ternary": 2}


@dataclass(frozen=True)
class Step:
    """One way of making a net compact.

    Attributes:
        kind: What is done; `folded` puts normalisations into the convolutions before them.
        amount: Nonzero weights to keep, or their share below 1; rank of a layer; bits of a weight.
        teacher: Model whose answers are learnt; empty for the task's own teacher.
    """

    kind: Kind
    amount: float = 0
    teacher: str = ""

    @property
    def n_largest(self) -> int:
        """Largest integer of a weight of so many bits; the smallest is its negative."""
        return int(2 ** (int(self.amount) - 1) - 1)


FOLDED = Step("folded")
TITLES = {
    "distilled[-MODEL]": "trained with the answers of teachers",
    "lowrank-K": "each layer as two of rank K, trained further",
    "pruned-N": "trained down to N nonzero weights, or to a share of them such as 0.1",
    "int8, int4, int3, ternary": "weights of so many bits, trained further while they are rounded",
}


def parse_step(word: str) -> Step | None:
    """The way that a word behind a "+" names; None where it names none."""
    name, _, rest = word.partition("-")
    if word in BITS:
        return Step("bits", BITS[word])
    if name == "distilled" and (rest or word == name):
        return Step("distilled", teacher=rest)
    if name == "lowrank" and rest.isdecimal() and int(rest) > 0:
        return Step("lowrank", int(rest))
    if name == "pruned" and (amount := _parse_amount(rest)):
        return Step("pruned", amount)
    return None


def _parse_amount(text: str) -> float | None:
    """A number of weights, or with a point a share of them below 1."""
    if text.isdecimal():
        return int(text) or None
    whole, point, digits = text.partition(".")
    is_share = whole == "0" and point and digits.isdecimal() and digits.isascii()
    return (float(text) or None) if is_share else None


def sort_words(words: list[str]) -> list[str]:
    """The words of a name in the order in which their ways act."""
    ranks = {word: KINDS.index(step.kind) for word in words if (step := parse_step(word))}
    return sorted(words, key=lambda word: ranks.get(word, -1))


def sort_steps(*steps: Step) -> tuple[Step, ...]:
    """Steps in the order in which they act."""
    return tuple(sorted(steps, key=lambda step: KINDS.index(step.kind)))


def split_name(name: str) -> tuple[str, tuple[Step, ...]]:
    """The model that a name begins with, and the ways behind it: none where the last word names none, or none twice.

    A model's name may hold words of another kind, as `vgg16-c+synthetic`, which stay with it.
    """
    words = name.split(ARM)
    n_steps = next((n for n, word in enumerate(reversed(words[1:])) if not parse_step(word)), len(words) - 1)
    base, own = words[: len(words) - n_steps], words[len(words) - n_steps :]
    return ARM.join(base), tuple(step for word in own if (step := parse_step(word)))


def find_disorder(name: str) -> str:
    """The name with its ways in their order, where they are in another; else empty."""
    base, steps = split_name(name)
    words = name.split(ARM)[-len(steps) :] if steps else []
    right = ARM.join([base, *sort_words(words)])
    return right if right != name else ""
