"""Demonstrations and learning: the expert's field of motion, sentences, the data set on disk, and a small training that
gives the same bytes twice, also when it was interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from unit.policy_world import ROBOT

from humanoid_bench.demonstrations import demonstrate
from humanoid_bench.studio import ALL, Studio, StudioError
from humanoid_cli.main import main
from vla_nodes.core.instruction import Task as Words
from vla_nodes.training import motion, phrases, sampling
from vla_nodes.training.dataset import Dataset, DatasetError, Recipe, shard_name
from vla_nodes.training.expert import REGION, Expert, places
from vla_nodes.training.motion import AIM, DOWN, OUT, POINT, REST, TOUCH, WAVE

torch = pytest.importorskip("torch")
RECIPE = Recipe("g1", 5, 2, 1, 8, 12, 128, 96)


@pytest.fixture(scope="module")
def field() -> motion.Motion:
    return motion.Motion(Expert(ROBOT).postures(places(30, np.random.default_rng(0))))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    try:
        return demonstrate(ROBOT, tmp_path_factory.mktemp("data"), RECIPE, lambda what, done, of: None)
    except StudioError as error:
        pytest.skip(str(error))


def one(value: int) -> np.ndarray:
    return np.full(1, value, dtype=np.intp)


def at(field: motion.Motion, side: int, edge: int, share: float, thing: int = 0) -> motion.Place:
    return field.place(one(side), one(edge), np.full(1, share), one(thing), np.full(1, 3.0))


def rows(field: motion.Motion, left: motion.Place, right: motion.Place, verb: int, hand: int, thing: int = 0,
         elapsed: float = 3.0) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The expert's next second of the left and of the right arm, (knots, 7) each."""
    task = motion.Task(one(verb), one(hand), one(thing), np.full(1, elapsed))
    both = field.chunks((left, right), task)[0][0]
    return both[:, :7], both[:, 7:]


# --- the expert


def test_the_expert_touches_and_points_where_it_should(field: motion.Motion) -> None:
    expert, p = Expert(ROBOT), field.postures
    for side, name in enumerate(("left", "right")):
        arm = list(ROBOT.groups[f"{name}_arm"])
        for k in range(0, len(p.tops), 5):
            q = ROBOT.rest.copy()
            q[arm] = p.point[side, k]
            hand, axis = expert.body.hand(q, name)
            ahead = p.tops[k] - [0.0, 0.0, 0.03] - hand
            assert np.linalg.norm(ahead - (ahead @ axis) * axis) < 0.03, "the ray passes near the thing's middle"
            q[arm] = p.touch[side, k]
            assert np.linalg.norm(expert.body.hand(q, name)[0][:2] - p.tops[k][:2]) < 0.08


def test_a_hand_at_its_goal_stays_and_a_tired_one_goes_home(field: motion.Motion) -> None:
    rest = at(field, 1, OUT, 0.0)
    for verb, edge in ((TOUCH, DOWN), (POINT, AIM)):
        left, right = rows(field, at(field, 0, edge, 1.0), rest, verb, 0)
        assert np.ptp(left, axis=0).max() < 0.01
        assert np.ptp(right, axis=0).max() < 0.01
    left, _ = rows(field, at(field, 0, DOWN, 1.0), rest, REST, motion.EITHER)
    up = field.postures.above[0, 0] - field.postures.touch[0, 0]
    assert (left[3] - left[0]) @ up > 0.0, "first up from the thing, then home"


def test_an_arm_waits_until_the_other_is_out_of_the_way(field: motion.Motion) -> None:
    left, right = rows(field, at(field, 0, OUT, 0.0), at(field, 1, DOWN, 1.0), TOUCH, 0)
    assert np.ptp(left, axis=0).max() < 0.05
    assert np.ptp(right, axis=0).max() > 0.5


def test_the_named_hand_acts_else_the_nearer_one_else_the_one_that_is_out(field: motion.Motion) -> None:
    far_left = int(np.argmax(field.postures.tops[:, 1]))
    task = motion.Task(one(TOUCH), one(motion.EITHER), one(far_left), np.zeros(1))
    home = at(field, 0, OUT, 0.0), at(field, 1, OUT, 0.0)
    assert field.active(home, task)[0] == 0
    assert field.active((home[0], at(field, 1, DOWN, 0.5)), task)[0] == 1
    assert field.active(home, motion.Task(one(TOUCH), one(1), one(far_left), np.zeros(1)))[0] == 1


def test_no_joint_is_faster_than_the_expert_means_it_to_be(field: motion.Motion) -> None:
    rng = np.random.default_rng(1)
    task = sampling.tasks(rng, 4000, len(field.postures.tops))
    chunks, _ = field.chunks(sampling.arms(rng, field, task), task)
    speed = np.abs(np.diff(chunks, axis=1)).max(axis=(1, 2)) / motion.KNOT_DT
    swing = 2.0 * np.pi / motion.PERIOD * motion.SWING
    assert speed[task.verb != WAVE].max() < 1.05 * motion.SPEED
    assert speed.max() < motion.SPEED + swing
    assert np.all(np.isfinite(chunks))


# --- sentences


def test_held_out_patterns_are_new_but_their_words_are_not() -> None:
    rng = np.random.default_rng(2)
    from vla_nodes.backends.small_vla import words_of
    from vla_nodes.training.learn import vocabulary

    known = set(vocabulary(1))
    seen = {phrases.phrase(phrases.any_task(rng), rng) for _ in range(4000)}
    for _ in range(1500):
        said = phrases.sample(rng, held_out=True)
        assert said.text not in seen
        assert set(words_of(said.text)) <= known, said.text


def test_a_phrase_names_hand_and_thing_of_its_task() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        text = phrases.phrase(Words("touch", "green", "", "left"), rng)
        assert "left" in text
        assert any(word in text for word in ("green", "emerald", "lime"))
    assert all("left" in phrases.phrase(Words("point", "red", "ball", "left"), rng, held_out=True) for _ in range(200))


def test_no_thing_is_more_suspicious_than_another() -> None:
    """A thing that stands in strange sentences more often than in others would be refused by its name."""
    rng = np.random.default_rng(4)
    strange = [phrases.strange(rng) for _ in range(6000)]
    counts = [sum(f"{c} {k}" in text for text in strange) for c in ("red", "green", "blue")
              for k in ("cube", "ball", "cylinder")]  # fmt: skip
    assert max(counts) < 1.5 * min(counts)


@pytest.mark.parametrize("thing", [f"{c} {k}" for c in ("red", "green", "blue") for k in ("cube", "ball", "cylinder")])
@pytest.mark.parametrize("how", ["touch", "point at"])
def test_the_shipped_policy_knows_its_tasks_without_a_hand(how: str, thing: str) -> None:
    from transformers import AutoModel

    from vla_nodes.core.contract import load_contract

    loaded = load_contract("g1_small", ROBOT)
    model = AutoModel.from_pretrained(loaded.checkpoint).eval()
    with torch.no_grad():
        said = model.reader(model.reader.tokens([f"{how} the {thing}"]))
    least = loaded.terms.least.understood
    assert float(said["understood"].sigmoid()) > least + 0.3, "well above what is refused"
    got = {name: int(said[name].argmax()) for name in ("verb", "hand", "colour", "kind")}
    from vla_nodes.backends.small_vla import COLOURS, HANDS, KINDS, VERBS

    heard = VERBS[got["verb"]], HANDS[got["hand"]], COLOURS[got["colour"]], KINDS[got["kind"]]
    assert heard == (how.split()[0], "either", *thing.split())


# --- pictures and the data set


def test_a_scene_is_what_its_labels_say(field: motion.Motion) -> None:
    try:
        studio = Studio(ROBOT, 128, 96)
    except StudioError as error:
        pytest.skip(str(error))
    try:
        hits = 0
        for k in range(12):
            rng = np.random.default_rng(k)
            target = ALL.index(("red", "cube"))
            shot = studio.shoot(rng, ROBOT.rest[list(ROBOT.groups["upper_body"])], target, REGION.mean(axis=0))
            again = studio.shoot(np.random.default_rng(k), ROBOT.rest[list(ROBOT.groups["upper_body"])], target,
                                 REGION.mean(axis=0))  # fmt: skip
            assert np.array_equal(shot.rgb, again.rgb)
            assert shot.there[target]
            assert np.allclose(shot.tops[target], REGION.mean(axis=0), atol=1e-9)
            x, y = (shot.pixels[target] * [128, 96]).astype(int)
            r, g, b = shot.rgb[y + 1 : y + 4, x - 1 : x + 2].reshape(-1, 3).mean(axis=0)
            hits += r > 1.3 * max(g, b)
        assert hits >= 9, "at the pixel of the red cube's top it is red, but for what is before the lens"
    finally:
        studio.close()


def test_the_data_goes_on_where_it_stopped_and_is_the_same(data: Dataset, tmp_path: Path) -> None:
    assert data.shards(held=True)["observation.images.head"].shape == (8, 96, 128, 3)
    half = demonstrate(ROBOT, tmp_path / "half", Recipe("g1", 5, 2, 1, 8, 12, 128, 96), lambda *_: None)
    (half.folder / shard_name(1)).unlink()
    with pytest.raises(DatasetError, match=r"pictures-0001\.npz: not there; run the same"):
        half.shards(held=True)
    whole = demonstrate(ROBOT, tmp_path / "half", RECIPE, lambda *_: None)
    assert whole.fingerprint == data.fingerprint


@pytest.mark.parametrize(("spoil", "text"), [
    ("hash", "its hash is not the one in meta.json"),
    ("version", "version = 7: this program reads 1"),
    ("json", "not JSON"),
    ("recipe", "recipe.seed = 5: 6 is asked for"),
])  # fmt: skip
def test_a_data_set_that_does_not_fit_is_refused(data: Dataset, tmp_path: Path, spoil: str, text: str) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in data.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    meta = json.loads((folder / "meta.json").read_text())
    if spoil == "hash":
        with (folder / shard_name(0)).open("r+b") as blob:
            blob.seek(-5, 2)
            blob.write(b"\0")
    elif spoil == "version":
        (folder / "meta.json").write_text(json.dumps(meta | {"version": 7}))
    elif spoil == "json":
        (folder / "meta.json").write_text("{")
    with pytest.raises(DatasetError, match=text):
        Dataset.open(folder, Recipe(**{**meta["recipe"], "seed": 6}) if spoil == "recipe" else None).shards(held=False)


# --- learning


def learned(data: Dataset, folder: Path, stop_at: str = "") -> str:
    """A very small training; ``stop_at``: the part in which it is interrupted. The weights' hash."""
    from vla_nodes.training.export import check, export
    from vla_nodes.training.learn import Effort
    from vla_nodes.training.train import train

    effort = Effort(reader=2, actor=2, epochs=2, sentences=256, motions=512, batch=4)

    def progress(part: str, done: int, of: int, loss: float) -> None:
        assert np.isfinite(loss)
        if part == stop_at and done == 1:
            raise KeyboardInterrupt

    trained = train(ROBOT, data, effort, folder / "state", progress, threads=2 if stop_at else 1)
    run = {"runs": 1, "seconds": 60.0, "processor_seconds": 30.0, "processor": "x"}
    export(trained, data, effort, folder / "g1_small", "a test", run)
    return check(folder / "g1_small")


def test_one_seed_gives_one_checkpoint_also_after_an_interruption(data: Dataset, tmp_path: Path) -> None:
    from vla_nodes.training.export import ExportError, check
    from vla_nodes.training.learn import TrainingError

    first = learned(data, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        learned(data, tmp_path / "b", stop_at="eyes")
    assert learned(data, tmp_path / "b") == first
    card = tmp_path / "a" / "g1_small" / "README.md"
    assert first in card.read_text()
    card.write_text(card.read_text().replace(first, "0" * 64))
    with pytest.raises(ExportError, match=r"README\.md: weights_sha256"):
        check(card.parent)
    state = tmp_path / "a" / "state" / "actor.pt"
    state.write_bytes(b"no state")
    with pytest.raises(TrainingError, match=r"actor\.pt: cannot be read"):
        learned(data, tmp_path / "a")


def test_bad_settings_of_the_command_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.json").write_text("[]")
    assert main(["train", "--out", str(tmp_path), "--pictures", "16", "--places", "8"]) == 2
    said = capsys.readouterr().err
    assert "meta.json: format = []" in said
    assert main(["train", "--pictures", "3"]) == 2
    assert "16" in capsys.readouterr().err
