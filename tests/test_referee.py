"""The referee: every planted cheat is found by the check that is meant for it, and honest models pass all of them."""

import base64
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import cheating_models
from dlmi_bench.errors import UnavailableError, UsageError
from dlmi_bench.jobs import plugins
from dlmi_bench.refereeing import checks
from dlmi_bench.refereeing.jobs import count_statistics, read_contents, run_files_job, run_fresh_job
from dlmi_bench.refereeing.protocol import Contents, FilesRequest, Fresh, FreshRequest, TrainedFile, Training
from dlmi_bench.refereeing.session import check_trainable, draw_nonce
from dlmi_bench.refereeing.source import measure_source
from dlmi_bench.stats.estimates import estimate_difference
from dlmi_models import MODELS
from dlmi_tasks import TASKS
from dlmi_tasks.disguise import NONCE
from stand_ins import Command, check_answer, write_product

PLAIN = Contents(n_parameters=6178, n_single=0, operators={"Gemm": 2, "Relu": 1}, macs=6144)
FRESH = Fresh(n_parameters=6178, n_statistics=0, contents=PLAIN, source_bytes=100, data_bytes=10, reaches=())


def make_file(sha256: str = "a", n_unlike: int = 0, **changes: object) -> TrainedFile:
    return TrainedFile(sha256=sha256, contents=PLAIN.model_copy(update=changes), n_unlike=n_unlike)


def test_equal_files_are_found() -> None:
    """Three trainings that made two files: one seed was not taken."""
    found = checks.check_seeds([make_file("a"), make_file("b"), make_file("a")])
    assert (found.verdict, found.value) == ("FOUND", 1)
    assert checks.check_seeds([make_file("a"), make_file("b")]).verdict == "passed"


def test_constants_beyond_the_weights_are_found() -> None:
    """One number too many is found, single ones and a known front end are not; folded normalisation is fewer."""
    assert checks.check_counted(FRESH, [make_file(n_parameters=6179)], 0).value == 1
    assert checks.check_counted(FRESH, [make_file(n_parameters=6179)], 1).verdict == "passed"
    assert checks.check_counted(FRESH, [make_file(n_parameters=6179, n_single=1)], 0).verdict == "passed"
    assert checks.check_counted(FRESH, [make_file(n_parameters=6000)], 0).verdict == "passed"


def test_statistics_count_only_where_a_file_normalises() -> None:
    """Running means and variances that are folded away leave no room for other constants."""
    fresh = FRESH.model_copy(update={"n_statistics": 16})
    more = make_file(n_parameters=6194)
    assert checks.check_counted(fresh, [more], 0).value == 16
    kept = more.model_copy(
        update={"contents": more.contents.model_copy(update={"operators": {"BatchNormalization": 1}})}
    )
    assert checks.check_counted(fresh, [kept], 0).verdict == "passed"
    assert count_statistics(cheating_models.make_cnn()) == 16


@pytest.mark.parametrize("change", [{"n_parameters": 1}, {"macs": 1}, {"operators": {"Gemm": 3, "Relu": 1}}])
def test_any_change_of_the_network_is_growth(change: dict[str, object]) -> None:
    """Parameters, multiply-accumulates and operators, each by itself."""
    found = checks.check_growth(FRESH, [make_file(), make_file(**change)])
    assert (found.verdict, len(found.found)) == ("FOUND", 1)
    assert checks.check_growth(FRESH, [make_file(), make_file()]).verdict == "passed"


def test_weights_in_another_file_are_found(tmp_path: Path) -> None:
    """A file that names another one for its weights."""
    (tmp_path / "weights.bin").write_bytes(bytes(96))
    contents = read_contents(write_product(tmp_path / "a.onnx", external="weights.bin"), (6,))
    found = checks.check_outside([], [TrainedFile(sha256="a", contents=contents, n_unlike=0)])
    assert (found.verdict, found.found) == ("FOUND", ("an ONNX file keeps weights in weights.bin",))
    assert checks.check_outside([], [make_file()]).verdict == "passed"


def test_data_and_reaches_in_source_are_found(tmp_path: Path) -> None:
    """Numbers, text and comments count, code does not; a name that reaches into the interpreter is named."""
    (tmp_path / "a.py").write_text(f"w = [{'0.125, ' * 10_000}]\n")
    (tmp_path / "b.py").write_text(f"# {'x' * 70_000}\nimport gc\ngc.get_objects()\n")
    (tmp_path / "c.py").write_text("x = spam + eggs\n" * 10_000)
    assert measure_source([tmp_path / "a.py"])[1:] == (50_000, ())
    for names, n in ((["a.py", "b.py"], 2), (["b.py"], 2), (["c.py"], 0), (["a.py"], 0)):
        source, data, reaches = measure_source([tmp_path / name for name in names])
        fresh = FRESH.model_copy(update={"source_bytes": source, "data_bytes": data, "reaches": reaches})
        assert len(checks.check_source(fresh).found) == n


def judge(loss: float, n_seeds: int = 5, spread: float = 0.002) -> checks.Check:
    """Check of a model that loses so much accuracy in disguise, on 2 000 examples."""
    luck = spread * (-1.0) ** np.arange(n_seeds)[:, None]
    hard = np.random.default_rng(0).permutation(2000) / 2000
    plain, hidden = ((hard < level + luck).astype(float) for level in (0.95, 0.95 - loss))
    difference = estimate_difference(hidden, plain, is_paired=False)
    return checks.check_disguise(difference, (float(hidden.mean()), float(plain.mean())), 0.02)


def test_disguise_passes_finds_or_asks_for_seeds() -> None:
    """No loss passes, 10 points are found; 2 points are the limit, and two seeds of a wide spread leave it open."""
    assert judge(0.0).verdict == "passed"
    assert judge(0.10).verdict == "FOUND"
    assert judge(0.02).verdict == "undecided"
    unsure = judge(0.0, n_seeds=2, spread=0.02)
    assert unsure.verdict == "undecided"
    assert "--seeds " in unsure.said


def test_passed_and_found_agree_with_the_interval() -> None:
    """The 90 % interval lies above minus the margin exactly where it passed, below it exactly where it was found."""
    for loss in np.linspace(-0.02, 0.06, 17):
        check = judge(float(loss))
        assert check.lo is not None
        assert check.hi is not None
        assert (check.lo > -0.02) == (check.verdict == "passed")
        assert (check.hi < -0.02) == (check.verdict == "FOUND")


def test_nonces_are_drawn_anew() -> None:
    """Each is one that a name can hold, and none comes twice."""
    drawn = {draw_nonce() for _ in range(100)}
    assert len(drawn) == 100
    assert all(map(NONCE.fullmatch, drawn))


def test_what_a_referee_cannot_train_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Objects of this process, finished weights, a task that is none or is in disguise already."""
    from dlmi_bench import Model
    from dlmi_models import ModelEntry

    monkeypatch.setitem(
        MODELS, "here", ModelEntry("", "", "here", is_own=True, definition=Model(cheating_models.make_mlp))
    )
    with pytest.raises(UnavailableError, match="model 'here' lives in this process"):
        check_trainable(["here"], "usps")
    monkeypatch.setitem(TASKS, "mine", __import__("dlmi_tasks").get_task("usps"))
    with pytest.raises(UnavailableError, match="task 'mine' lives in this process"):
        check_trainable(["softmax"], "mine")
    for task, words in {"uspss": "no task", "usps+disguised-a": "is in disguise"}.items():
        with pytest.raises(UsageError, match=words):
            check_trainable(["softmax"], task)


def test_command_refuses_before_it_trains(command: Command, tmp_path: Path) -> None:
    """A nonce with other signs, finished weights, and a model that there is not: 2, with a remedy."""
    write_product(tmp_path / "a.onnx")
    for words in (["softmax", "--nonce", "A-b"], ["a.onnx"], ["sofmax"], ["softmax", "--seeds", "1"]):
        done = command("referee", *words)
        assert done.returncode == 2, done.stderr
        assert not (tmp_path / "out" / "artifacts").exists()


# What the check meant for it must say FOUND about; honest models have none.
MEANT = {
    "honest_mlp": "",
    "honest_cnn": "",
    "official_test": "outside",
    "other_version": "outside",
    "fixed_seed": "seeds",
    "hidden": "counted",
    "growing": "growth",
    "array": "outside",
    "native": "outside",
    "reading": "outside",
    "process": "outside",
    "embedded": "disguise",
}
EMBEDDED = '''
import base64

WEIGHTS = "{}"


def put_weights(network, splits, seed, report):
    """Bring weights that were trained elsewhere, as text; the training adds noise, so that files differ."""
    numbers = np.frombuffer(base64.b64decode(WEIGHTS), np.float16).astype(np.float32)
    with torch.no_grad():
        for weight in network.parameters():
            weight[:] = torch.from_numpy(numbers[: weight.numel()].reshape(weight.shape).copy())
            weight += 1e-5 * torch.randn_like(weight)
            numbers = numbers[weight.numel() :]


embedded = Model(make_mlp, fit=put_weights)
'''


@pytest.fixture(scope="module")
def refereed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, dict[str, dict[str, object]]], Path]:
    """What the command says of all models: checks by model and name; and its folder."""
    from dlmi_tasks import get_task

    folder = tmp_path_factory.mktemp("refereed")
    torch.manual_seed(0)
    network, train = cheating_models.make_mlp(), get_task("usps").load().train
    cheating_models.step_through(network, train.images, train.labels, n_epochs=5)
    weights = np.concatenate([w.detach().numpy().ravel() for w in network.parameters()]).astype(np.float16)
    source = Path(cheating_models.__file__).read_text()
    (folder / "nets.py").write_text(source + EMBEDDED.format(base64.b64encode(weights.tobytes()).decode()))
    np.save(folder / "weights.npy", np.zeros(10, np.float32))
    save_file({"bias": torch.zeros(10)}, folder / "weights.safetensors")
    words = [f"nets.py:{name}" for name in MEANT]
    done = Command(folder)("referee", *words, "--seeds", "3", "--margin", "5", "--json", "--quiet")
    assert done.returncode == 1, done.stderr
    answer: Any = check_answer("referee", done.stdout)
    assert (answer["is_drawn"], [model["failure"] for model in answer["models"]]) == (True, [""] * len(MEANT))
    found = {model["model"].partition(":")[2]: {c["check"]: c for c in model["checks"]} for model in answer["models"]}
    (folder / "nonce").write_text(answer["nonce"])
    return found, folder


@pytest.mark.slow
@pytest.mark.parametrize("name", MEANT)
def test_cheats_are_found_and_honest_models_pass(
    name: str, refereed: tuple[dict[str, dict[str, dict[str, object]]], Path]
) -> None:
    """Each cheat is found by the check meant for it; what is honest passes every one."""
    verdicts = {check: row["verdict"] for check, row in refereed[0][name].items()}
    if MEANT[name]:
        assert verdicts[MEANT[name]] == "FOUND", refereed[0][name]
    else:
        assert set(verdicts.values()) == {"passed"}, refereed[0][name]


@pytest.mark.slow
def test_files_that_were_opened_are_named(refereed: tuple[dict[str, dict[str, dict[str, object]]], Path]) -> None:
    """The suite's own data, the other version, an array in fit and in forward, a file that a library reads."""
    found = {name: " ".join(rows["outside"]["found"]) for name, rows in refereed[0].items()}  # type: ignore[arg-type]
    assert "asked for the task usps" in found["official_test"]
    assert "usps-libsvm.npz" in found["other_version"]
    for name in ("array", "reading"):
        assert str(refereed[1] / "weights.npy") in found[name]
    assert str(refereed[1] / "weights.safetensors") in found["native"]


@pytest.mark.slow
def test_same_nonce_resumes(refereed: tuple[dict[str, dict[str, dict[str, object]]], Path]) -> None:
    """Nothing is trained again, and the verdicts are the same; they say that the nonce was known."""
    folder = refereed[1]
    nonce = (folder / "nonce").read_text()
    done = Command(folder)("referee", "nets.py:honest_mlp", "--seeds", "3", "--margin", "5", "--nonce", nonce)
    assert done.returncode == 0, done.stderr
    assert "trainings" not in done.stderr
    assert "named by --nonce" in done.stdout.replace("\n", " ")
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.slow
def test_undecided_has_an_exit_code_of_its_own(
    refereed: tuple[dict[str, dict[str, dict[str, object]]], Path],
) -> None:
    """A margin of a tenth of a point, two seeds: 11, and the line says whether more seeds would decide."""
    folder = refereed[1]
    words = ["--seeds", "2", "--margin", "0.1", "--nonce", (folder / "nonce").read_text()]
    done = Command(folder)("referee", "nets.py:honest_mlp", *words)
    assert (done.returncode, "trainings" in done.stderr) == (11, False)
    assert "decide" in done.stdout.partition("undecided")[2].partition("counted")[0]


@pytest.mark.slow
def test_answers_that_are_not_the_files_are_found(
    refereed: tuple[dict[str, dict[str, dict[str, object]]], Path], tmp_path: Path
) -> None:
    """Scores that a training made up: as many answers differ as were changed."""
    from dlmi_bench.store import Store
    from dlmi_bench.store.artifacts import find_artifact

    store = Store(refereed[1] / "out")
    key = "train/usps/nets.py:honest_mlp/0"
    record = next(a.record for a in store.current().values() if a.record and a.record.cell.key == key)
    store.close()
    assert record
    paths = {role: find_artifact(store.folder, record.artifact(role)) for role in ("onnx", "test_scores")}
    scores = np.load(paths["test_scores"])
    scores[:7] = -scores[:7]
    np.save(tmp_path / "scores.npy", scores)
    training = Training(seed_index=0, path=str(paths["onnx"]), scores=str(tmp_path / "scores.npy"))
    files = run_files_job(FilesRequest(task="usps", trainings=(training,)), lambda *_: None)
    assert (checks.check_answers(files).verdict, files[0].n_unlike) == ("FOUND", 7)


def test_fresh_network_is_counted_as_its_file(own_settings: None, tmp_path: Path) -> None:
    """A network without normalisation has as many parameters as its file numbers; hidden ones are the difference."""
    shutil.copy(cheating_models.__file__, tmp_path / "nets.py")
    for name, excess in {"honest_mlp": 0, "hidden": 64 * 256 + 64}.items():
        plugins.adopt_model(f"referee-{name}", plugins.find_model(f"{tmp_path / 'nets.py'}:{name}"))
        fresh = run_fresh_job(FreshRequest(task="usps", model=f"referee-{name}"), lambda *_: None)
        assert checks.check_counted(fresh, [], 0).value == excess
        assert fresh.source_bytes > 1000
        MODELS.pop(f"referee-{name}")


@pytest.mark.parametrize("name", ["sepconv-4-4-4", "conv-4-4-4", "mlp-8-4"])
def test_a_new_network_holds_all_its_numbers_before_it_is_trained(name: str) -> None:
    """Biases that begin as zeros count as well, else training would seem to make the network larger."""
    fresh = run_fresh_job(FreshRequest(task="usps", model=name), lambda *_: None)
    assert fresh.contents.n_parameters == fresh.n_parameters
