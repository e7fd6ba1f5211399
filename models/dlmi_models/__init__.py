"""Architectures by name. Each file knows torch and no other part of the project; building one imports no other file.

The user's own join the registry: see dlmi_models/own.py.
"""

from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Literal, NamedTuple

from dlmi_models.arms import FOLDED, Step, find_disorder, sort_steps, split_name
from dlmi_models.families import find_family

if TYPE_CHECKING:
    from torch import nn

    from dlmi_models.own import Model


Start = Literal["scratch", "synthetic", "imagenet"]


class Problem(NamedTuple):
    """Shape of one example, (channel, height, width) or (channel, depth, height, width), and number of classes."""

    input_shape: tuple[int, ...]
    n_classes: int


DIGITS = Problem((1, 16, 16), 10)
SLICES = Problem((1, 50, 50), 3)
VOLUMES = Problem((1, 14, 50, 50), 3)


@dataclass(frozen=True)
class ModelEntry:
    """A registered architecture: where it is and with which arguments it is built.

    Attributes:
        usual: Problem assumed where none is stated: by `count MODEL`, and by weights files that name no input shape.
        min_side: Smallest side it takes [pixels].
        only_shape: The one input shape it takes; None where every image from `min_side` on fits.
        starts: Other starts of its weights; each is registered as two more models, fine-tuned and frozen.
        is_large: Whether its training takes hours on a CPU.
        start: Source of the weights before training; see dlmi_tasks/training/start.py.
        is_frozen: Whether only the last layer is trained.
        takes_volumes: Whether it takes examples of more axes than an image has.
        takes_images: Whether it takes images.
        steps: What makes it compact, in the order in which it acts; see dlmi_models/arms.py.
        is_own: Whether it is a user's: `factory` is then a key of the module's MODELS, or an attribute.
        definition: A user's model that no other process can import, as those of a notebook.
    """

    module: str
    factory: str
    title: str
    arguments: dict[str, int] = field(default_factory=dict)
    usual: Problem = DIGITS
    min_side: int = 1
    only_shape: tuple[int, ...] | None = None
    starts: tuple[Start, ...] = ()
    is_large: bool = False
    start: Start = "scratch"
    is_frozen: bool = False
    takes_volumes: bool = False
    takes_images: bool = True
    steps: tuple[Step, ...] = ()
    is_own: bool = False
    definition: "Model | None" = None

    @property
    def own(self) -> "Model":
        """The user's definition, whose module is imported when it is first asked for.

        Raises:
            UsageError: the module has no such model.
        """
        from dlmi_models.own import as_model, refuse_missing

        if self.definition:
            return self.definition
        module = import_module(self.module)
        table = getattr(module, "MODELS", {})
        if self.factory not in table and not hasattr(module, self.factory):
            refuse_missing(module, self.factory)
        return as_model(table[self.factory] if self.factory in table else getattr(module, self.factory), self.factory)

    @property
    def trainee(self) -> "ModelEntry":
        """The architecture before it is made compact, as its training begins with it."""
        return replace(self, steps=())

    def fits(self, input_shape: tuple[int, ...]) -> bool:
        """Tell whether the architecture takes examples of this shape; of a user's only building it can tell."""
        if self.is_own:
            return True
        if not (self.takes_volumes if len(input_shape) > 3 else self.takes_images):
            return False
        if self.only_shape:
            return tuple(input_shape) == self.only_shape
        return min(input_shape[1:]) >= self.min_side

    def build(
        self, input_shape: tuple[int, ...] | None = None, n_classes: int | None = None, *, is_frozen: bool | None = None
    ) -> "nn.Module":
        """Build a freshly initialised network; seed torch first. What is not given is as in `usual` and `is_frozen`.

        Raises:
            UsageError: see Model.build.
        """
        if self.steps:
            from dlmi_models.reshaping import reshape

            return reshape(self.trainee.build(input_shape, n_classes, is_frozen=is_frozen), self.steps)
        if self.is_own:
            return self.own.build(self.title, input_shape or self.usual.input_shape, n_classes)
        factory = getattr(import_module(self.module), self.factory)
        problem = Problem(input_shape or self.usual.input_shape, n_classes or self.usual.n_classes)
        network: nn.Module = factory(**problem._asdict(), **self.arguments)
        if self.is_frozen if is_frozen is None else is_frozen:
            for name, weight in network.named_parameters():
                weight.requires_grad = name.startswith("out.")
        return network

    def count_fixed(self, input_shape: tuple[int, ...]) -> int:
        """Count the numbers of a fixed front end, which files hold beside the weights; a referee expects them.

        The form is the function `count_fixed` of the architecture's file, which takes what the factory takes.
        """
        count = None if self.is_own else getattr(import_module(self.module), "count_fixed", None)
        return int(count(input_shape, **self.arguments)) if count else 0

    def compute_macs(self, input_shape: tuple[int, ...], n_classes: int | None = None) -> int | None:
        """Compute the multiply-accumulates of one example by the architecture's closed form; None where it has none.

        The form of a factory is the function `compute_macs` of its file, or `compute_FACTORY_macs` where the file
        has several; it takes the same arguments as the factory.
        """
        if self.is_own or any(step.kind == "lowrank" for step in self.steps):
            return None
        module = import_module(self.module)
        formula = getattr(module, f"compute_{self.factory}_macs", None) or getattr(module, "compute_macs", None)
        return (
            None if formula is None else int(formula(input_shape, n_classes or self.usual.n_classes, **self.arguments))
        )


def _full_size(factory: str, title: str) -> ModelEntry:
    return ModelEntry(
        "dlmi_models.fullsize", factory, title, usual=SLICES, min_side=32, starts=("imagenet",), is_large=True
    )


def _two_layers(n_hidden1: int, n_hidden2: int, title: str) -> ModelEntry:
    arguments = {"n_hidden1": n_hidden1, "n_hidden2": n_hidden2}
    return ModelEntry("dlmi_models.mlp", "MLP", f"two hidden layers, {title}", arguments, takes_volumes=True)


class Registry(dict[str, ModelEntry]):
    """Models by name. Members of families and compact arms are made when they are asked for, and listed nowhere."""

    def __missing__(self, name: str) -> ModelEntry:
        entry = _make_member(name) or self._make_compact(name)
        if entry is None:
            raise KeyError(name)
        return entry

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        return isinstance(name, str) and bool(_make_member(name) or self._make_compact(name))

    def _make_compact(self, name: str) -> ModelEntry | None:
        base, steps = split_name(name)
        kinds = [step.kind for step in steps]
        if not steps or len(set(kinds)) < len(kinds) or find_disorder(name) or base not in self:
            return None
        return replace(self[base], steps=sort_steps(*self[base].steps, *steps))


def _make_member(name: str) -> ModelEntry | None:
    """Row of a family's member; None where no family has the name."""
    found = find_family(name)
    if found is None:
        return None
    family, arguments, title = found
    return ModelEntry(
        f"dlmi_models.{family.module}",
        family.factory,
        title,
        arguments,
        min_side=family.min_side,
        takes_volumes=family.takes_volumes,
        steps=(FOLDED,) if family.is_folded else (),
    )


MODELS = Registry(
    {
        "softmax": ModelEntry("dlmi_models.softmax", "Softmax", "softmax regression", takes_volumes=True),
        "mlp-24-16": _two_layers(24, 16, "smaller"),
        "mlp-64-32": _two_layers(64, 32, "the headline"),
        "mlp-512-256": _two_layers(512, 256, "wide"),
        "lecun-1989": ModelEntry(
            "dlmi_models.lecun1989", "LeCun1989", "the first convolutional net on these digits", only_shape=(1, 16, 16)
        ),
        "cnn-4": ModelEntry("dlmi_models.cnn", "CNN", "three convolutions, 4 channels", {"n_channels": 4}, min_side=4),
        "cnn-16": ModelEntry(
            "dlmi_models.cnn", "CNN", "three convolutions, 16 channels", {"n_channels": 16}, min_side=4
        ),
        "cnn-32": ModelEntry(
            "dlmi_models.cnn", "CNN", "three convolutions, 32 channels", {"n_channels": 32}, min_side=4
        ),
        "cnn3d-8": ModelEntry(
            "dlmi_models.cnn3d",
            "CNN3D",
            "three convolutions of volumes, 8 channels",
            {"n_channels": 8},
            VOLUMES,
            8,
            takes_volumes=True,
            takes_images=False,
        ),
        "vgg16-c": ModelEntry(
            "dlmi_models.vgg", "VGG", "VGG16, compact", {"width": 8}, SLICES, 32, starts=("synthetic",)
        ),
        "resnet-c": ModelEntry(
            "dlmi_models.resnet", "ResNet", "ResNet-18, compact", {"width": 8}, SLICES, 32, starts=("synthetic",)
        ),
        "vit-c": ModelEntry(
            "dlmi_models.vit",
            "ViT",
            "vision transformer, compact",
            {"dim": 64, "depth": 4, "n_heads": 4},
            SLICES,
            10,
            starts=("synthetic",),
        ),
        "vgg16-full": _full_size("vgg16", "VGG16"),
        "vgg16-full-small-head": _full_size("vgg16_small_head", "VGG16, convolutions and one linear layer"),
        "resnet18-full": _full_size("resnet18", "ResNet-18"),
        "resnet50-full": _full_size("resnet50", "ResNet-50"),
        "vit-b16-full": _full_size("vit_b16", "ViT-B/16"),
        "efficientnet-lite0": ModelEntry(
            "dlmi_models.efficientnet",
            "EfficientNetLite",
            "EfficientNet-Lite0",
            usual=SLICES,
            min_side=32,
            starts=("imagenet",),
        ),
    }
)


PRETRAINED_ON = {"synthetic": "other patients", "imagenet": "ImageNet"}


def _list_arms(name: str, start: Start) -> dict[str, ModelEntry]:
    """List the network pretrained on something else: fine-tuned, and with a trunk that stays as it was loaded."""
    base = MODELS[name]
    tuned = replace(base, title=f"{base.title}, pretrained on {PRETRAINED_ON[start]}", start=start)
    title = f"{tuned.title}, only its last layer trained"
    return {
        f"{name}+{start}": tuned,
        f"{name}+{start}-frozen": replace(tuned, title=title, is_frozen=True),
    }


for _name, _entry in tuple(MODELS.items()):
    for _start in _entry.starts:
        MODELS |= _list_arms(_name, _start)
