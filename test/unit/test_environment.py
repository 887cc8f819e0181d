"""An environment file is believed only when every key and value makes sense; the shipped one matches the scene."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from humanoid_core.environment import EnvironmentFileError, add_obstacles, load_environment
from sim_nodes.core.scene import add_scene, plan_scene

GOOD = """
name: box
frame: standing
units: {length: m, angle: rad}
obstacles:
  - {name: wall, shape: box, xyz: [1.0, 0.0, 1.0], half: [0.1, 1.0, 1.0], margin: 0.05, hand_margin: 0.02}
  - {name: lamp, shape: sphere, xyz: [0.0, 0.0, 2.0], radius: 0.1, margin: 0.05, hand_margin: 0.05}
  - {name: pole, shape: capsule, fromto: [1.0, 1.0, 0.0, 1.0, 1.0, 2.0], radius: 0.05, margin: 0.05, hand_margin: 0.0}
"""


def written(folder: Path, text: str) -> str:
    path = folder / "env.yaml"
    path.write_text(text)
    return str(path)


def test_every_shape_of_a_file_becomes_an_obstacle(tmp_path: Path) -> None:
    obstacles = load_environment(written(tmp_path, GOOD))
    assert [o.name for o in obstacles] == ["wall", "lamp", "pole"]
    spec = mujoco.MjSpec()
    add_obstacles(spec, obstacles)
    model = spec.compile()
    assert model.ngeom == 3
    assert load_environment("") == ()


@pytest.mark.parametrize(("old", "new", "words"), [
    ("radius: 0.1", "radius: -0.1", "obstacles[1].radius = -0.1"),
    ("margin: 0.05, hand_margin: 0.02", "margin: .nan, hand_margin: 0.02", "obstacles[0].margin = nan"),
    ("margin: 0.05, hand_margin: 0.02", "margin: 0.05, hand_margin: 0.2", "must not be above margin = 0.05"),
    ("half: [0.1, 1.0, 1.0]", "radius: 0.1", "a box takes half"),
    ("angle: rad", "angle: deg", "units.angle = 'deg'"),
    ("frame: standing", "frame: world", "frame = 'world'"),
    ("name: lamp", "name: wall", "given twice"),
    ("xyz: [0.0, 0.0, 2.0]", "xzy: [0.0, 0.0, 2.0]", "nearest valid key: 'xyz'"),
    ("frame: standing", "", "frame = None: missing"),
    ("name: box", "name: box\nname: box", "key 'name' is given twice"),
])
def test_a_file_that_contradicts_itself_is_refused_with_key_and_value(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(EnvironmentFileError) as error:
        load_environment(path)
    assert words in str(error.value)
    assert path in str(error.value)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(EnvironmentFileError, match="known: table"):
        load_environment("kitchen")


def test_the_shipped_table_is_the_scenes_table() -> None:
    scene, ours = mujoco.MjSpec(), mujoco.MjSpec()
    add_scene(scene, plan_scene())
    add_obstacles(ours, load_environment("table"))
    a, b = scene.compile(), ours.compile()
    data_a, data_b = mujoco.MjData(a), mujoco.MjData(b)
    mujoco.mj_forward(a, data_a)
    mujoco.mj_forward(b, data_b)
    for part in ("table_top", "table_column"):
        i, j = a.geom(part).id, b.geom(f"obstacle_{part}").id
        assert a.geom_type[i] == b.geom_type[j]
        np.testing.assert_allclose(data_a.geom_xpos[i], data_b.geom_xpos[j], atol=1e-9)
        np.testing.assert_allclose(a.geom_size[i], b.geom_size[j], atol=1e-9)
