"""Families of architectures, whose members are named by their widths: `mlp-16-12`, `conv-12-18-20`."""

import re
from typing import NamedTuple


class Family(NamedTuple):
    """A family.

    Attributes:
        pattern: Of its names; each number in it is an argument of the factory, in the order of `arguments`.
        title: With a place for each number.
        fixed: Arguments that all members share.
        min_side: Smallest side of an image that its members take [pixels].
        takes_volumes: Whether its members take examples of more axes than an image has.
        is_folded: Whether its normalisations are put into the convolutions before them when it is trained.
    """

    pattern: str
    module: str
    factory: str
    title: str
    arguments: tuple[str, ...]
    fixed: dict[str, int]
    min_side: int = 1
    takes_volumes: bool = False
    is_folded: bool = False


NUMBER = "([1-9][0-9]{0,3})"
CHANNELS = ("n_channels1", "n_channels2", "n_channels3")
FAMILIES = (
    Family("mlp-N", "mlp", "MLP", "one hidden layer of {}", ("n_hidden1",), {}, takes_volumes=True),
    Family(
        "mlp-N-N", "mlp", "MLP", "two hidden layers of {} and {}", ("n_hidden1", "n_hidden2"), {}, takes_volumes=True
    ),
    Family(
        "dct-N-N-N",
        "cosine",
        "CosineMLP",
        "{} cosine coefficients, two hidden layers of {} and {}",
        ("n_coefficients", "n_hidden1", "n_hidden2"),
        {},
    ),
    Family(
        "window-N-N",
        "windows",
        "WindowNet",
        "a layer of {} shared by windows, a hidden layer of {}",
        ("n_units", "n_hidden"),
        {},
        min_side=6,
    ),
    Family(
        "conv-N-N-N",
        "compact",
        "CompactCNN",
        "three convolutions of {}, {} and {}, a kernel for each channel",
        CHANNELS,
        {},
        min_side=4,
        is_folded=True,
    ),
    Family(
        "sepconv-N-N-N",
        "compact",
        "CompactCNN",
        "a convolution of {}, separable ones of {} and {}, a kernel for each channel",
        CHANNELS,
        {"is_separable": 1},
        min_side=4,
        is_folded=True,
    ),
    Family(
        "committee-N-N-N-N",
        "committee",
        "Committee",
        "{} nets of three convolutions of {}, {} and {}, whose probabilities are averaged",
        ("n_members", *CHANNELS),
        {},
        min_side=4,
        is_folded=True,
    ),
    Family(
        "vit-N-N-N",
        "vit",
        "ViT",
        "vision transformer of width {}, {} layers and {} heads",
        ("dim", "depth", "n_heads"),
        {},
        min_side=10,
    ),
)


def list_families() -> dict[str, str]:
    """Titles of the families by pattern, with a letter for each number of a name."""
    found = {}
    for family in FAMILIES:
        letters = "ABCD"[: len(family.arguments)]
        pattern = family.pattern
        for letter in letters:
            pattern = pattern.replace("-N", f"-{letter}", 1)
        found[pattern] = family.title.format(*letters)
    return found


def find_family(name: str) -> tuple[Family, dict[str, int], str] | None:
    """The family of a name, the arguments that the name states, and its title; None where no family has it."""
    for family in FAMILIES:
        if found := re.fullmatch(family.pattern.replace("N", NUMBER), name, re.ASCII):
            numbers = [int(text) for text in found.groups()]
            stated = dict(zip(family.arguments, numbers, strict=True))
            return family, stated | family.fixed, family.title.format(*numbers)
    return None
