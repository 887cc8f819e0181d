#!/usr/bin/env python3
"""Makes the pictures of docs/watching.md: `.venv/bin/python docs/images/make_views.py [scene|page]`.

scene.png: the house in simulated time, reaching; robot, twin and the marks that scene_markers sends, drawn off-screen.
page.png: the live page, told of the same house in real time, photographed by a headless Chromium.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("MUJOCO_GL", "egl")

import cv2
import mujoco
import numpy as np
import psutil

from humanoid_bench.lockstep import Lockstep
from humanoid_bench.rig import Speaker
from humanoid_cli.session import own_domain
from humanoid_cli.supervisor import find_executable
from humanoid_core.environment import load_environment
from humanoid_core.physics import build_spec
from humanoid_core.robot import RobotModel, load_robot
from humanoid_core.timing import NS
from humanoid_ros.convert import stamp_from_msg, stamped, to_msg
from sim_nodes.core.plant import PlantParams
from sim_nodes.core.scene import DEFAULT_OBJECTS, add_scene, plan_scene
from view_nodes.core.marks import BALL, LINE, Mark, Marks
from view_nodes.page import GHOST

HERE = Path(__file__).parent
SIZE = (1280, 800)
SEED = 7
INSTRUCTION = "touch the blue ball with your left hand"
ACTING = 1.6  # s of reaching before the picture
BEFORE, AFTER = 3.0, 7.0  # s that the page hears before and after the instruction
TOLD = ("ingest/robot_state", "twin/state", "safety/status", "safety/gate", "vla/status", "robot/joint_command",
        "camera/head/image_raw", "safety/events")
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
    """page.png. A browser that draws in software takes a whole small computer, so the house runs in
    simulated time first, and what it said is then said again in real time."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("no Chromium on this machine: sudo apt-get install chromium")
    said, port = record(), free_port()
    with own_domain() as domain, contextlib.ExitStack() as stack:
        node = subprocess.Popen([str(find_executable("dashboard")), "--ros-args", "-p", f"port:={port}", "-p",
                                 f"ghost_aside:={ASIDE}"], env={**os.environ, "ROS_DOMAIN_ID": str(domain)})
        stack.callback(node.wait, 10.0)
        stack.callback(node.send_signal, signal.SIGINT)
        play = stack.enter_context(sync_playwright())
        browser = play.chromium.launch(executable_path=chromium, args=[
            "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"])
        stack.callback(browser.close)
        view = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        wait(lambda: listens(port), 30.0, "the page")
        view.goto(f"http://127.0.0.1:{port}")
        view.wait_for_selector("[data-level='NO MONITOR']", timeout=40_000)
        for close in view.locator(".mantine-Notification-closeButton").all():
            close.click()
        speaker = stack.enter_context(contextlib.closing(Speaker(domain, "house")))
        telling = threading.Thread(target=say_again, args=(said, speaker))
        began, used = time.monotonic(), cpu(node.pid)
        telling.start()
        view.get_by_text("policy: acting").wait_for(timeout=40_000)
        time.sleep(ACTING)
        view.screenshot(path=str(HERE / "page.png"))
        print(f"page.png: {view.inner_text('[data-level]')}")
        telling.join()
        share = (cpu(node.pid) - used) / (time.monotonic() - began)
        print(f"the page's node used {share:.3f} cores")


def record() -> list[tuple[int, str, Any]]:
    """(ns, topic, message) of what the page reads, from a house in simulated time that reaches."""
    said: list[tuple[int, str, Any]] = []
    with Lockstep(load_robot("g1"), seed=SEED, plant=PlantParams(objects=DEFAULT_OBJECTS), policy="classical",
                  settings=(("safety_monitor", "environment", "table"),)) as house:
        house.run(1.0)
        for topic in TOLD:
            house.listen(topic, lambda value, now_ns, topic=topic: said.append((now_ns, topic, value)))
        house.run(BEFORE)
        house.instruct(INSTRUCTION)
        house.run(AFTER)
    return [(at_ns, topic, to_msg(value)) for at_ns, topic, value in said]


def say_again(said: list[tuple[int, str, Any]], speaker: Speaker) -> None:
    """In real time, with stamps of now."""
    shift = time.time_ns() - said[0][0]
    for at_ns, topic, message in said:
        time.sleep(max(0.0, (at_ns + shift - time.time_ns()) / NS))
        stamped(message, stamp_from_msg(message.header.stamp) + shift)
        speaker.say(topic, message)


def wait(ready: Any, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)


def cpu(pid: int) -> float:
    """s of processor time that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["scene", "page"]
    for name in wanted:
        {"scene": scene, "page": page}[name]()
