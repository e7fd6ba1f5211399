"""Models of the user's: how factories are called, and what is said of those that do not fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlmi_bench.errors import UsageError
from dlmi_models import MODELS, ModelEntry
from dlmi_models.own import Model, as_model, choose_arguments

SHAPE, N_CLASSES = (2, 4, 4), 3


class Net(nn.Module):
    """One linear layer for any task."""

    def __init__(self, input_shape: tuple[int, ...] = SHAPE, n_classes: int = N_CLASSES) -> None:
        super().__init__()
        self.layer = nn.Linear(int(torch.tensor(input_shape).prod()), n_classes)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x.flatten(1))


class Dictionary(Net):
    """Answers as many a library does."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": super().forward(x), "features": x}


class TwoInputs(Net):
    """Takes its channels apart."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.layer(torch.cat([x, y], 1).flatten(1))


class Noise(nn.Module):
    """Draws at each call."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand(1)


class Double(nn.Module):
    """Answers in float64."""

    def forward(self, x: Tensor) -> Tensor:
        return x.double()


def build(factory: Any, **options: Any) -> nn.Module:
    return Model(factory, **options).build("mine", SHAPE, N_CLASSES)


def test_factory_is_given_what_it_has_parameters_for() -> None:
    """By our names, and by those of torchvision, timm and MONAI; what has another name keeps its default."""

    def monai(spatial_dims: int, in_channels: int, out_channels: int, width: int = 7) -> None: ...
    def timm(num_classes: int = 1000, in_chans: int = 3, out_channels: int = 5) -> None: ...
    def none() -> None: ...

    assert choose_arguments("m", monai, SHAPE, 3) == {"spatial_dims": 2, "in_channels": 2, "out_channels": 3}
    assert choose_arguments("m", timm, SHAPE, 3) == {"num_classes": 3, "in_chans": 2}
    assert choose_arguments("m", none, SHAPE, 3) == {}
    assert choose_arguments("m", Net, SHAPE, 3) == {"input_shape": SHAPE, "n_classes": 3}


def test_torchvision_passes_the_classes_on() -> None:
    """Its functions take **options, behind which is the class; those of others get nothing that they do not name."""
    from torchvision.models import resnet18

    assert choose_arguments("m", resnet18, SHAPE, 3) == {"num_classes": 3}
    assert choose_arguments("m", lambda **options: None, SHAPE, 3) == {}


FAULTS = {
    "needs width, depth": (lambda width, depth: Net(), "lambda: "),
    "2 x|2, 7": (lambda: Net(n_classes=7), "n_classes"),
    "a dict with 'logits', 'features'": (Dictionary, 'network(x)["logits"]'),
    "does not take images of 2x4x4": (lambda: TwoInputs(), "network(x, x.mean(1))"),
    "made a list": (lambda: [Net()], "nn.Module"),
    "ZeroDivisionError": (lambda: Net(1 // 0), "call the factory"),
    "SystemExit": (lambda: exit(), "call the factory"),
    "Float and Double": (lambda: Net().double(), "adapter"),
}


@pytest.mark.parametrize("words", FAULTS)
def test_model_that_does_not_fit_is_one_sentence_with_a_remedy(words: str) -> None:
    """What came and what was expected, and what to write."""
    factory, remedy = FAULTS[words]
    with pytest.raises(UsageError, match=words) as caught:
        build(factory)
    assert "mine" in caught.value.cause
    assert remedy in caught.value.remedy


def test_adapter_asks_for_scores() -> None:
    """Of dictionaries, and of networks with several inputs; weights keep their names behind it."""
    network = build(Dictionary, adapter=lambda network, x: network(x)["logits"])
    assert network(torch.zeros(5, *SHAPE)).shape == (5, 3)
    assert list(network.state_dict()) == ["network.layer.weight", "network.layer.bias"]
    assert build(TwoInputs, adapter=lambda network, x: network(x[:, :1], x[:, 1:]))(torch.zeros(1, *SHAPE)).shape == (
        1,
        3,
    )


def test_trying_a_network_leaves_it_as_it_is() -> None:
    """Its mode, its statistics and the random numbers after it are those of a network that nobody tried."""
    make = lambda: nn.Sequential(nn.BatchNorm2d(2), Noise(), nn.Flatten(), nn.Linear(32, 3))  # noqa: E731
    torch.manual_seed(7)
    plain, drawn = make(), torch.rand(1)
    torch.manual_seed(7)
    tried = build(make)
    assert torch.rand(1) == drawn
    assert tried.training
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), tried.state_dict().values(), strict=True))


def test_same_network_twice_is_refused() -> None:
    """A factory that hands out one network would train each seed from where the last one ended."""
    network = Net()
    factory = lambda: network  # noqa: E731
    as_model(factory, "mine").build("mine", SHAPE, N_CLASSES)
    with pytest.raises(UsageError, match="same network twice"):
        as_model(factory, "mine").build("mine", SHAPE, N_CLASSES)


def test_advice_fits_the_error() -> None:
    """Grey images for a net of colours, a key that is not there, scores in float64, a lambda's argument."""
    colours = lambda: nn.Conv2d(3, 3, 1)  # noqa: E731
    for shape, factory, remedy in (
        ((1, 4, 4), Model(colours), "x.expand(-1, 3, -1, -1)"),
        (SHAPE, Model(Dictionary, adapter=lambda network, x: network(x)["scores"]), "correct the adapter"),
        (SHAPE, Model(lambda: nn.Sequential(Net(), Double())), "scores.float()"),
        (SHAPE, Model(lambda width: Net()), "lambda: Net(width=...)"),
    ):
        with pytest.raises(UsageError) as caught:
            factory.build("mine", shape, N_CLASSES)
        assert remedy in caught.value.remedy, caught.value


@pytest.mark.parametrize("value", [Net(), 3, "nothing", None])
def test_what_is_no_model_is_refused(value: object) -> None:
    """A network in place of what makes it, a number, a word."""
    with pytest.raises(UsageError, match="model 'mine'"):
        as_model(value, "mine")


def test_checkpoints_are_numbered_files_of_one_kind(tmp_path: Path) -> None:
    """A gap, a missing file, weights without a factory and an ONNX file with one are refused."""
    for name in ("a.pt", "b.onnx"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"seeds \[1\]"):
        Model.from_checkpoints({1: tmp_path / "a.pt"}, Net)
    with pytest.raises(UsageError, match=r"no file .*c\.pt"):
        Model.from_checkpoints({0: tmp_path / "c.pt"}, Net)
    with pytest.raises(UsageError, match="weights need a factory"):
        Model.from_checkpoints({0: tmp_path / "a.pt"})
    with pytest.raises(UsageError, match="needs no factory"):
        Model.from_checkpoints({0: tmp_path / "b.onnx"}, Net)
    assert Model.from_checkpoints({0: tmp_path / "a.pt"}, Net).checkpoints == {0: tmp_path / "a.pt"}
    assert Model.from_checkpoints([tmp_path / "a.pt"], Net).checkpoints == {0: tmp_path / "a.pt"}


def test_entry_of_a_file_says_what_the_file_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt factory is answered with the names that there are."""
    (tmp_path / "some_nets.py").write_text("def make_net(): ...\ndef _hidden(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"some_nets\.py has no 'make_nte'") as caught:
        ModelEntry("some_nets", "make_nte", "mine", is_own=True).build(SHAPE, 3)
    assert caught.value.remedy == "use one of make_net"


def test_images_go_to_no_net_of_volumes() -> None:
    """Registered models that flatten take volumes, as do those made for them; every model of the user's is tried."""
    takes = {name for name, entry in MODELS.items() if entry.fits((1, 8, 32, 32))}
    assert takes == {"softmax", "mlp-24-16", "mlp-64-32", "mlp-512-256", "cnn3d-8"}
    assert not MODELS["cnn3d-8"].fits((1, 32, 32))
    assert not MODELS["cnn3d-8"].fits((1, 4, 32, 32))
    assert ModelEntry("m", "f", "mine", is_own=True).fits((1, 8, 32, 32))
