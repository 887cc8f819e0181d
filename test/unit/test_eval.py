"""humanoid-twin eval: what is asked, how it is disturbed, and what is made of the results."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from peers.board import Peer

from humanoid_bench.eval_episode import Result
from humanoid_bench.eval_figures import all_figures, calibration, wilson
from humanoid_bench.eval_pool import Candidate, run_all
from humanoid_bench.eval_tasks import NEW_SEEDS, SPLITS, Spec, plan, tasks
from humanoid_bench.eval_world import COVER, Cover, relight
from humanoid_cli.eval import splits_of
from humanoid_cli.main import main
from humanoid_core.robot import load_robot
from humanoid_core.types import ImageSample
from sim_nodes.core.plant import Plant, PlantParams
from vla_nodes.core.instruction import Task

ROBOT = load_robot("g1")


def test_the_same_seed_asks_the_same_and_more_episodes_begin_alike() -> None:
    for split in SPLITS:
        assert plan(split, 3, 5) == plan(split, 9, 5)[:3]
    assert plan("new", 9, 5) != plan("new", 9, 6)


def test_every_task_is_asked_equally_often() -> None:
    asked = [spec.task for spec in plan("new", 2 * len(tasks()), 0)]
    assert len(tasks()) == 41
    assert {asked.count(task) for task in tasks()} == {2}


def test_a_reach_has_its_thing_on_the_table_and_new_scenes_are_new() -> None:
    for split in SPLITS:
        for spec in plan(split, 41, 1):
            things = spec.objects.split(", ")
            assert len(set(things)) == 3
            assert spec.task.verb not in ("touch", "point") or spec.task.thing in things
            assert (spec.seed >= NEW_SEEDS) == (split != "seen")


def test_splits_differ_in_one_thing() -> None:
    for one, other in zip(plan("new", 41, 2), plan("noise", 41, 2), strict=True):
        assert replace(other, split="new") == one
    for one, other in zip(plan("new", 41, 2), plan("delay300", 41, 2), strict=True):
        assert (other.delay, replace(other, split="new", delay=one.delay)) == (0.3, one)
    told = [spec.told for spec in plan("paraphrase", 41, 2)]
    assert not set(told) & {spec.told for split in ("seen", "new") for spec in plan(split, 41, 2)}


def test_the_control_is_told_something_else() -> None:
    from vla_nodes.core.instruction import parse

    understood = 0
    for spec in plan("shuffled", 82, 3):
        heard = parse(spec.told)
        assert spec.task.verb != "rest"
        if isinstance(heard, Task):  # the grammar does not know every sentence
            understood += 1
            assert (heard.thing, heard.hand) != (spec.task.thing, spec.task.hand)
            assert heard.verb not in ("touch", "point") or heard.thing in spec.objects
    assert understood > 60


def test_words_that_are_no_split_are_refused() -> None:
    assert splits_of("none") == SPLITS[:5]
    assert splits_of("light", "new") == ("new", "light")
    assert splits_of("all") == SPLITS
    assert main(["eval", "--perturb", "wind"]) == 2


def test_the_interval_is_wilsons() -> None:
    """Newcombe 1998, table I: 81 of 263, 15 of 148 and 0 of 20."""
    for won, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson(won, n) == pytest.approx((low, high), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def result(split: str, success: bool, confidence: float = 0.8, **more: object) -> Result:
    base = Result("p", split, 0, 1, "touch", "touch", success, success, False, "", "", 0.0,
                  5.0 if success else math.nan, 1.0, 4.0, 50.0, 0, False, confidence, 10, 1.0)  # fmt: skip
    return replace(base, **more)  # type: ignore[arg-type]


def test_a_confidence_that_means_something() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(size=4000)
    honest = calibration([result("new", bool(rng.random() < c), float(c)) for c in sure])
    assert honest.error < 0.03
    assert honest.auroc > 0.75
    vain = calibration([result("new", bool(rng.random() < 0.5), 0.95) for _ in range(1000)])
    assert vain.error == pytest.approx(0.45, abs=0.05)
    assert vain.auroc == pytest.approx(0.5)
    assert calibration([result("new", False, math.nan)]).n == 0


def test_figures_have_the_names_and_aims_that_are_published() -> None:
    rows = [result("new", k < 18) for k in range(20)] + [result("shuffled", k < 2) for k in range(20)]
    rows += [result("light", k < 10, chunks=10 if k < 10 else 0, refused=k >= 15) for k in range(20)]
    rows += [result("unknown", False, refused=k < 19, chunks=int(k == 19)) for k in range(20)]
    figures = all_figures(rows, ("new", "shuffled", "light", "unknown"))
    assert (figures["success"].value, figures["success"].aim, figures["success"].n) == (0.9, 0.9, 20)
    assert (figures["success_shuffled"].value, figures["success_shuffled"].aim) == (0.1, 0.25)
    assert (figures["success_light"].value, figures["success_light_or_refused"].value) == (0.5, 0.75)
    assert figures["refused_unknown"].value == 0.95
    assert figures["success_low"].value < 0.9 < figures["success_high"].value
    assert figures["seconds_p50"].value == 5.0
    assert all_figures(rows, ("new",), "baseline_")["baseline_success"].aim is None


def test_a_cover_hides_the_same_part_of_picture_and_depth() -> None:
    cover = Cover(np.random.default_rng(3))
    picture = cover.image(ImageSample(7_000_000_000, "rgb8", np.zeros((240, 320, 3), np.uint8)))
    depth = cover.depth(ImageSample(7_000_000_000, "32FC1", np.zeros((240, 320), np.float32)))
    hidden = picture.data[..., 0] > 0
    assert np.array_equal(hidden, depth.data > 0.0)
    assert hidden.mean() == pytest.approx(COVER[0] * COVER[1], rel=0.05)
    later = cover.image(ImageSample(9_000_000_000, "rgb8", np.zeros((240, 320, 3), np.uint8)))
    assert not np.array_equal(later.data[..., 0] > 0, hidden), "it moves"


def test_other_light_is_seeded() -> None:
    found = []
    for seed in (1, 1, 2):
        plant = Plant(ROBOT, PlantParams(settle=False))
        relight(plant, np.random.default_rng(seed))
        found.append(np.concatenate([plant.model.vis.headlight.ambient, plant.model.light_dir.ravel()]))
    assert np.array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])


def test_episodes_do_not_depend_on_who_runs_them() -> None:
    """The same task twice: what a policy saw in one world is of no use in the next."""
    wave = Spec("new", 0, NEW_SEEDS + 5, Task("touch", "red", "cube", "left"),
                "touch the red cube with your left hand", "red cube, blue ball, green cube")  # fmt: skip
    other = replace(wave, index=1, seed=NEW_SEEDS + 6)
    unknown = replace(wave, split="unknown", told="sweep the floor")
    candidate = Candidate("classical", kind="core", timeout=15.0)
    alone = run_all(candidate, [wave, unknown, other], 1, with_ray=False)
    shared = run_all(candidate, [other, wave, unknown], 2, with_ray=False)
    for one, two in ((alone[0], shared[1]), (alone[1], shared[2]), (alone[2], shared[0])):
        assert json.dumps(asdict(replace(one, wall=0.0))) == json.dumps(asdict(replace(two, wall=0.0)))
    assert [r.success for r in alone] == [True, False, True]
    assert alone[1].refused
    assert alone[0].jerk_max < float(np.max(ROBOT.command_jerk))


def test_a_policy_behind_a_server_is_evaluated_under_its_contract() -> None:
    """Its test server moves one joint and never finishes: it acts, does not succeed, and gives no confidence."""
    with Peer("openpi") as peer:
        candidate = Candidate("g1_openpi", server=f"ws://127.0.0.1:{peer.port}", kind="core", timeout=4.0)
        (found,) = run_all(candidate, plan("new", 1, 0), 1, with_ray=False)
    assert found.chunks > 5
    assert (found.success, found.refused, found.code) == (False, False, "TIMEOUT")
    assert found.path > 0.01
    assert math.isnan(found.confidence)


def test_the_whole_verb_and_taking_it_up_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, file = tmp_path / "out", tmp_path / "f.json"
    call = ["eval", "--splits", "unknown", "--workers", "1", "--no-ray", "--out", str(out), "--json", str(file)]
    assert main([*call, "--episodes", "1"]) == 0
    assert "100%" in capsys.readouterr().out
    figures = json.loads(file.read_text())["figures"]
    assert figures["refused_unknown"]["value"] == 1.0
    assert figures["falls"] == {"value": 0, "unit": "", "aim": 0, "n": 1}
    assert all((out / name).stat().st_size > 5000 for name in ("success.png", "calibration.png", "motion.png"))
    first = (out / "episodes.jsonl").read_text()
    assert main([*call, "--episodes", "2", "--resume"]) == 0
    both = (out / "episodes.jsonl").read_text()
    assert both.startswith(first), "what was done stays"
    assert [json.loads(line)["index"] for line in both.splitlines()] == [0, 1]
    assert json.loads(file.read_text())["figures"]["refused_unknown"]["n"] == 2
    assert main([*call, "--report", "--episodes", "1"]) == 0
    assert json.loads(file.read_text())["figures"]["refused_unknown"]["n"] == 2, "all that are there, and none is run"
    assert (out / "episodes.jsonl").read_text() == both
    other = json.loads(first) | {"weights": "0123456789abcdef"}
    (out / "episodes.jsonl").write_text(json.dumps(other) + "\n")
    for how in ("--resume", "--report"):
        capsys.readouterr()
        assert main([*call, how]) == 2, "what other weights did is not mixed in"
        assert "line 1: classical with the weights 0123456789ab" in capsys.readouterr().err
    assert main([*call, "--report", "--policy", "g1_small"]) == 2
    assert "no episodes of 'g1_small'" in capsys.readouterr().err
    (out / "episodes.jsonl").write_text(first + "cut off")
    capsys.readouterr()
    assert main([*call, "--resume"]) == 2
    assert "line 2" in capsys.readouterr().err
