"""Checks of a robot file that need more than one block: names that must exist, inertia, groups, postures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from humanoid_core.robot_schema import Link, RobotFile, nearest


class Problem(Exception):
    """One refusal: dotted key, offending value, what is wrong and the way out."""

    def __init__(self, key: str, value: object, text: str) -> None:
        super().__init__(text)
        self.key, self.value, self.text = key, value, text


def _known(key: str, name: str, valid: Iterable[str], what: str) -> None:
    names = list(valid)
    if name not in names:
        raise Problem(key, name, f"no such {what}; " + nearest(name, names).replace("key", what))


def check(file: RobotFile) -> None:
    """Raise ``Problem`` for the first contradiction between blocks."""
    joints = file.joints.table
    if not joints:
        raise Problem("joints.table", {}, "a robot needs at least one joint")
    for name, joint in joints.items():
        _known(f"joints.table.{name}.drive", joint.drive, file.drives.table, "drive")
    for name, drive in file.drives.table.items():
        if not drive.command.acceleration <= drive.acceleration:
            raise Problem(
                f"drives.table.{name}.command.acceleration",
                drive.command.acceleration,
                f"a command may not exceed the drive's own {drive.acceleration}",
            )
    for name, joint in joints.items():
        command = file.drives.table[joint.drive].command.velocity
        if not command <= joint.velocity:
            raise Problem(
                f"drives.table.{joint.drive}.command.velocity",
                command,
                f"above the velocity {joint.velocity} of {name}",
            )
    links = _check_bodies(file)
    _check_groups(file)
    _check_postures(file)
    if links is not None:
        _check_links(file, links)
    _check_rest(file)


def _check_bodies(file: RobotFile) -> list[str] | None:
    """Check the link tree; return its link names, or None when a model file carries the bodies."""
    if file.model.kind != "bodies":
        if file.bodies is not None:
            raise Problem(
                "bodies", file.model.kind, "bodies come from model.file; drop this block or use kind 'bodies'"
            )
        return None
    if file.bodies is None or not file.bodies.links:
        raise Problem("bodies", None, "missing: model.kind 'bodies' needs bodies.links")
    seen: list[str] = []
    used: dict[str, str] = {}
    for i, link in enumerate(file.bodies.links):
        key = f"bodies.links[{i}] ({link.link})"
        if link.link in seen:
            raise Problem(f"{key}.link", link.link, "this link is named twice")
        if (link.parent is None) != (i == 0):
            raise Problem(f"{key}.parent", link.parent, "the first link, and only it, has no parent")
        if link.parent is not None:
            _known(f"{key}.parent", link.parent, seen, "link (a parent comes before its children)")
        seen.append(link.link)
        if link.joint is not None:
            _known(f"{key}.joint", link.joint, file.joints.table, "joint")
            if link.joint in used:
                raise Problem(f"{key}.joint", link.joint, f"joint already moves {used[link.joint]}")
            if file.joints.table[link.joint].axis is None:
                raise Problem(f"joints.table.{link.joint}.axis", None, "missing: the joint of a link needs an axis")
            used[link.joint] = link.link
        _check_inertia(key, link)
    for name in file.joints.table:
        if name not in used:
            raise Problem(f"joints.table.{name}", name, "no link in bodies.links is moved by this joint")
    order = [link.joint for link in file.bodies.links if link.joint]
    if order != list(file.joints.table):
        first = next(a for a, b in zip(order, file.joints.table, strict=True) if a != b)
        raise Problem("joints.table", first, "joints must be listed in the order of bodies.links")
    return seen


def _check_inertia(key: str, link: Link) -> None:
    """A rigid body: principal moments positive and none larger than the sum of the others (within 0.1 %)."""
    if link.mass == 0.0:
        if any(link.inertia):
            raise Problem(f"{key}.mass", link.mass, "a link with inertia needs a mass")
        if link.joint is not None:
            raise Problem(f"{key}.mass", link.mass, "a link that a joint moves needs mass and inertia")
        return
    xx, xy, xz, yy, yz, zz = link.inertia
    a, b, c = np.linalg.eigvalsh(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
    if not a > 0.0:
        raise Problem(f"{key}.inertia", list(link.inertia), f"not positive definite (smallest moment {a:.3g})")
    if not a + b >= c * (1.0 - 1e-3):
        raise Problem(
            f"{key}.inertia",
            list(link.inertia),
            f"no rigid body has moments {a:.3g}, {b:.3g}, {c:.3g} (triangle inequality)",
        )
    # radius of gyration: a wrong unit (g mm^2, kg mm^2) is orders of magnitude off
    if not c / link.mass <= 4.0:
        raise Problem(f"{key}.inertia", list(link.inertia), "not plausible in kg m^2 for this mass (another unit?)")
    if not max(abs(x) for x in link.com + link.xyz) <= 5.0:
        raise Problem(f"{key}.xyz", list(link.xyz), "not plausible in m (millimetres?)")


def _check_groups(file: RobotFile) -> None:
    for group, names in file.groups.items():
        for i, name in enumerate(names):
            _known(f"groups.{group}[{i}]", name, file.joints.table, "joint")
        if len(set(names)) != len(names):
            raise Problem(f"groups.{group}", list(names), "a joint is named twice")
    for needed in ("upper_body",):
        if needed not in file.groups:
            raise Problem(f"groups.{needed}", None, f"missing; present: {', '.join(file.groups) or 'none'}")
    both = set(file.groups.get("legs", ())) & set(file.groups["upper_body"])
    if both:
        raise Problem("groups.upper_body", sorted(both), "these joints are in legs too; the two must not overlap")


def _check_postures(file: RobotFile) -> None:
    for posture in ("stand", "rest", "crouch", "fall"):
        for name, q in getattr(file.postures, posture).items():
            key = f"postures.{posture}.{name}"
            _known(key, name, file.joints.table, "joint")
            joint = file.joints.table[name]
            if not joint.lower <= q <= joint.upper:
                raise Problem(key, q, f"outside the joint's limits {joint.lower} … {joint.upper}")


def _check_links(file: RobotFile, links: list[str]) -> None:
    """Every block that names a link must name one that exists."""
    if links and file.base.link != links[0]:
        raise Problem("base.link", file.base.link, f"must be the first link, {links[0]}")
    for side in ("left", "right"):
        hand = getattr(file.hands, side)
        if hand is not None:
            _known(f"hands.{side}.link", hand.link, links, "link")
    for i, imu in enumerate(file.imus.list):
        _known(f"imus.list[{i}].link", imu.link, links, "link")
    for i, foot in enumerate(file.feet.list):
        _known(f"feet.list[{i}].link", foot.link, links, "link")
    if file.camera is not None:
        _known("camera.link", file.camera.link, links, "link")
    for i, pair in enumerate(file.collision_exclude):
        for name in pair:
            _known(f"collision_exclude[{i}]", name, links, "link")


def _check_rest(file: RobotFile) -> None:
    if file.camera is not None and not file.camera.near < file.camera.far:
        raise Problem("camera.near", file.camera.near, f"not below camera.far {file.camera.far}")
    for topic, source in file.sources.items():
        if source.backup is not None:
            _known(f"sources.{topic}.backup", source.backup, file.sources, "source")
            if source.backup == topic or file.sources[source.backup].kind != source.kind:
                raise Problem(f"sources.{topic}.backup", source.backup, "a backup is another source of the same kind")
    _check_recovery(file)
    _check_contact(file)
    if not file.thermal.warn < file.thermal.limit:
        raise Problem("thermal.warn", file.thermal.warn, f"not below thermal.limit {file.thermal.limit}")
    b = file.battery
    if not b.min < b.warn < b.nominal <= b.full:
        raise Problem("battery", [b.min, b.warn, b.nominal, b.full], "must rise: min < warn < nominal <= full")


def _check_recovery(file: RobotFile) -> None:
    """Only joints that carry nobody's weight may fail without a stop."""
    for name, joint in file.recovery.joints.items():
        _known(f"recovery.joints.{name}", name, file.joints.table, "joint")
        for key in ("sensor_lost", "actuator_lost"):
            value = getattr(joint, key)
            if value != "stop" and name not in file.groups["upper_body"]:
                raise Problem(f"recovery.joints.{name}.{key}", value, "only joints of groups.upper_body may go on "
                              "without sensor or motor; write 'stop'")


def _check_contact(file: RobotFile) -> None:
    """A part that may press on somebody is a hand of this robot, felt by joints that it has."""
    for name, region in file.contact.regions.items():
        _known(f"contact.regions.{name}.group", region.group, file.groups, "group")
        if getattr(file.hands, region.side) is None:
            raise Problem(f"contact.regions.{name}.side", region.side, f"this robot has no hands.{region.side}")
        for i, part in enumerate(region.meets):
            _known(f"contact.regions.{name}.meets[{i}]", part, file.contact.person, "region of contact.person")
