#!/usr/bin/env python3
"""Makes the pictures of docs/watching.md: `.venv/bin/python docs/images/make_views.py [scene|page]`.

scene.png: the house in simulated time, reaching; robot, twin and the marks that scene_markers sends, drawn off-screen.
page.png: the simulated graph in real time with its live page, photographed by a headless Chromium.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("MUJOCO_GL", "egl")

import cv2
import mujoco
import numpy as np
import rclpy

from humanoid_bench.lockstep import Lockstep
from humanoid_cli.asker import Asker
from humanoid_cli.session import own_domain
from humanoid_cli.supervisor import Supervisor
from humanoid_core.environment import load_environment
from humanoid_core.graph import load_graph
from humanoid_core.physics import build_spec
from humanoid_core.robot import RobotModel, load_robot
from humanoid_ros.watcher import own_context
from sim_nodes.core.plant import PlantParams
from sim_nodes.core.scene import DEFAULT_OBJECTS, add_scene, plan_scene
from view_nodes.core.marks import BALL, LINE, Mark, Marks
from view_nodes.page import GHOST

HERE = Path(__file__).parent
SIZE = (1280, 800)
SEED = 7
INSTRUCTION = "touch the blue ball with your left hand"
ACTING = 1.6  # s of reaching before the picture
ASIDE = 0.7  # m, the twin's robot beside the other one on the page


def scene() -> None:
    """scene.png."""
    robot, environment = load_robot("g1"), load_environment("table")
    with Lockstep(robot, seed=SEED, plant=PlantParams(objects=DEFAULT_OBJECTS), policy="classical",
                  settings=(("safety_monitor", "environment", "table"),)) as house:
        house.run(2.0)
        house.instruct(INSTRUCTION)
        if not house.run(10.0, until=lambda: "vla/action_chunk" in house.newest):
            raise SystemExit(f"the policy made no plan: {house.newest.get('vla/status')}")
        house.run(ACTING)
        newest = house.newest
        marks = Marks(robot, environment).draw(newest["twin/state"], newest["ingest/robot_state"],
                                               newest["safety/status"], newest["vla/action_chunk"], house.ros_ns)
        picture = draw(robot, house, newest["twin/state"], marks)
    cv2.imwrite(str(HERE / "scene.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    print(f"scene.png: {len(marks)} marks, {newest['safety/status'].level.name}")


def draw(robot: RobotModel, house: Lockstep, twin: Any, marks: tuple[Mark, ...]) -> Any:
    """RGB of the plant with the twin's robot see-through over it, and the marks."""
    spec = build_spec(robot)
    add_scene(spec, plan_scene(DEFAULT_OBJECTS, SEED))
    spec.visual.global_.offwidth, spec.visual.global_.offheight = SIZE
    model = spec.compile()
    real, ghost = mujoco.MjData(model), mujoco.MjData(model)
    real.qpos[:] = house.plant.data.qpos
    ghost.qpos[:] = real.qpos
    ghost.qpos[:3], ghost.qpos[3:7] = twin.base_position, twin.base_orientation
    for name, q in zip(robot.joint_names, twin.position, strict=True):
        ghost.qpos[model.joint(name).qposadr[0]] = q
    for data in (real, ghost):
        mujoco.mj_forward(model, data)
    camera = mujoco.MjvCamera()
    camera.lookat[:], camera.distance, camera.azimuth, camera.elevation = (0.15, 0.0, 0.8), 2.0, 203.0, -14.0
    with mujoco.Renderer(model, SIZE[1], SIZE[0], max_geom=2000, font_scale=mujoco.mjtFontScale.mjFONTSCALE_150) as r:
        r.update_scene(real, camera)
        first = r.scene.ngeom
        mujoco.mjv_addGeoms(model, ghost, mujoco.MjvOption(), mujoco.MjvPerturb(), mujoco.mjtCatBit.mjCAT_DYNAMIC,
                            r.scene)
        for geom in r.scene.geoms[first : r.scene.ngeom]:
            geom.rgba = (*(c / 255.0 for c in GHOST), 0.25)
        for mark in marks:
            add(r.scene, mark)
        return r.render()


def add(scene: mujoco.MjvScene, mark: Mark) -> None:
    """A mark as geoms of the picture."""
    if mark.kind == LINE:
        for k in range(len(mark.points) - 1):
            geom = _new(scene, mujoco.mjtGeom.mjGEOM_CAPSULE, mark.colours[min(k, len(mark.colours) - 1)])
            mujoco.mjv_connector(geom, mujoco.mjtGeom.mjGEOM_CAPSULE, 0.5 * mark.size, mark.points[k],
                                 mark.points[k + 1])
        return
    kind = mujoco.mjtGeom.mjGEOM_SPHERE if mark.kind == BALL else mujoco.mjtGeom.mjGEOM_LABEL
    geom = _new(scene, kind, mark.colours[0], 0.5 * mark.size, mark.points[0])
    geom.label = mark.text.replace("\n", ": ")


def _new(scene: mujoco.MjvScene, kind: Any, rgba: Any, radius: float = 0.0, point: Any = (0.0, 0.0, 0.0)) -> Any:
    geom = scene.geoms[scene.ngeom]
    mujoco.mjv_initGeom(geom, kind, np.full(3, radius), np.asarray(point, np.float64), np.eye(3).ravel(),
                        np.asarray(rgba, np.float32))
    scene.ngeom += 1
    return geom


def page() -> None:
    """page.png."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("no Chromium on this machine: sudo apt-get install chromium")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    graph = load_graph("sim", {"seed": SEED, "dashboard": port}, [("dashboard", "ghost_aside", ASIDE)])
    with own_domain(), Supervisor(graph, lambda node, line: None) as supervisor, \
            sync_playwright() as play:
        # The browser draws in software here: it steps back for the graph.
        browser = play.chromium.launch(executable_path=chromium, args=[
            "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--renderer-process-limit=1"])
        subprocess.run(["renice", "-n", "15", "-p", *_descendants()], stdout=subprocess.DEVNULL, check=False)
        view = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        asker = Asker(own_context())
        wait(supervisor, lambda: asker.ready, 60.0, "the policy")
        wait(supervisor, lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 30.0, "the page")
        view.goto(f"http://127.0.0.1:{port}")
        view.wait_for_selector("[data-level='SAFE'], [data-level='CAUTION']", timeout=40_000)
        asker.ask(INSTRUCTION, 30.0)
        for close in view.locator(".mantine-Notification-closeButton").all():
            close.click()
        for _ in range(100):
            asker.spin()
            time.sleep(0.03)
        view.screenshot(path=str(HERE / "page.png"))
        print(f"policy: {asker.state} {asker.detail} {asker.answer or ''}")
        view.get_by_text("Plots").click()
        time.sleep(4.0)
        view.screenshot(path=str(HERE / "plots.png"))
        level = view.inner_text("[data-level]")
        asker.close()
        browser.close()
    print(f"page.png, plots.png: {level}")


def wait(supervisor: Supervisor, ready: Any, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not ready():
        supervisor.poll()
        if time.monotonic() > end:
            raise SystemExit(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)


def _descendants() -> list[str]:
    import psutil

    return [str(p.pid) for p in psutil.Process().children(recursive=True) if "chrom" in p.name()]


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["scene", "page"]
    for name in wanted:
        {"scene": scene, "page": page}[name]()
    rclpy.try_shutdown()
