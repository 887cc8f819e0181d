"""`humanoid-twin transfer`: how far the simulator is from a recording of the robot."""

from __future__ import annotations

import base64
import html
import io
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_core.robot import load_robot
from humanoid_replay.errors import BagError
from humanoid_replay.mapping import MappingError, load_mapping
from humanoid_replay.transfer import Gap, transfer


def transfer_command(
    bag: Annotated[Path, typer.Argument(help="Recording with robot/joint_command and joint_states.")],
    robot: Annotated[str, typer.Option(help="Robot file: a name in config/robots, or a path.")] = "g1",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML page with plots.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE",
                                              help="Write machine and figures to FILE.")] = None,
    map_file: Annotated[Path | None, typer.Option("--map", metavar="FILE", help="YAML file that names topics and "
                                                  "joints of a foreign robot.")] = None,
    objects: Annotated[str, typer.Option(help="Things on a table in front of the simulated robot; '' for none.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Places the things.")] = 0,
) -> None:
    """Run recorded commands in the simulator from the recorded posture; per joint RMSE, delay and correlation."""
    check_writable(json)
    check_writable(out)
    try:
        gap = transfer(bag, load_robot(robot), load_mapping(map_file), objects, seed)
    except (BagError, MappingError) as error:
        raise BadInput(str(error)) from None
    console = Console(highlight=False)
    table = Table("joint", "RMSE rad", "aligned rad", "delay ms", "correlation", "moved rad", box=None)
    for j in sorted(gap.joints, key=lambda j: -j.rmse):
        table.add_row(j.name, f"{j.rmse:.4f}", _number(j.rmse_aligned, ".4f"), _number(j.delay * 1e3, ".0f"),
                      _number(j.correlation, ".3f"), f"{j.moved:.2f}")
    console.print(table)
    for line in outcome(gap):
        console.print(line, soft_wrap=True)
    if out is not None:
        out.write_text(page(bag, gap), encoding="utf-8")
        console.print(f"{out}", soft_wrap=True)
    write_figures(json, figures_of(gap), joints=[vars(j) for j in gap.joints])


def outcome(gap: Gap) -> list[str]:
    """What became of the task, in lines."""
    lines = [f"{side} hand: {apart[-1] * 100:.1f} cm from the recorded one at the end, at most "
             f"{apart.max() * 100:.1f} cm" for side, apart in gap.hands.items()]
    return [*lines, f"{gap.commands} commands, {gap.time[-1]:.1f} s; the simulated robot "
            f"{'FELL' if gap.fell else 'did not fall'}; refused: {dict(gap.refused) or 'nothing'}"]


def figures_of(gap: Gap) -> dict[str, Figure]:
    moved = [j for j in gap.joints if math.isfinite(j.delay)]
    n = len(gap.time)
    rows = {"gap_rmse": Figure(float(np.sqrt(np.mean([j.rmse**2 for j in gap.joints]))), "rad", None, n),
            "simulated_fell": Figure(gap.fell, "", False)}
    if moved:
        rows["gap_rmse_aligned"] = Figure(float(np.sqrt(np.mean([j.rmse_aligned**2 for j in moved]))), "rad", None, n)
        rows["gap_delay"] = Figure(float(np.median([j.delay for j in moved])) * 1e3, "ms", None, len(moved))
        rows["gap_correlation"] = Figure(float(np.median([j.correlation for j in moved])), "", None, len(moved))
    for side, apart in gap.hands.items():
        rows[f"hand_gap_{side}"] = Figure(float(apart[-1]), "m", None, n)
    return rows


def page(bag: Path, gap: Gap) -> str:
    """One HTML file with the joints that moved."""
    from humanoid_cli.report import STYLE

    moved = [i for i, j in enumerate(gap.joints) if math.isfinite(j.delay)] or [0]
    picture = _plot(gap, moved)
    told = "".join(f"<p>{html.escape(line)}</p>" for line in outcome(gap))
    rows = "".join(f"<tr><td>{html.escape(j.name)}</td><td class=n>{j.rmse:.4f}</td>"
                   f"<td class=n>{_number(j.rmse_aligned, '.4f')}</td><td class=n>{_number(j.delay * 1e3, '.0f')}</td>"
                   f"<td class=n>{_number(j.correlation, '.3f')}</td></tr>"
                   for j in sorted(gap.joints, key=lambda j: -j.rmse))
    return (f"<!doctype html><html lang='en'><meta charset='utf-8'><title>transfer {html.escape(bag.name)}</title>"
            f"<style>{STYLE}</style><body><h1>Recording against simulation</h1>"
            f"<p>{html.escape(str(bag.name))}</p>{told}"
            f"<img alt='joints over time' src='data:image/png;base64,{picture}'>"
            f"<table><tr><th>joint</th><th>RMSE rad</th><th>aligned rad</th><th>delay ms</th><th>correlation</th></tr>"
            f"{rows}</table></body></html>")


def _plot(gap: Gap, joints: list[int]) -> str:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(10, 1.3 * len(joints)), layout="constrained")
    axes: Any = canvas.subplots(len(joints), 1, sharex=True, squeeze=False)[:, 0]
    for ax, i in zip(axes, joints, strict=True):
        ax.plot(gap.time, gap.recorded[:, i], lw=1.0, color="#2c5aa0", label="recorded")
        ax.plot(gap.time, gap.simulated[:, i], lw=1.0, color="#c0392b", label="simulated")
        ax.set_ylabel(gap.joints[i].name.removesuffix("_joint"), rotation=0, ha="right", fontsize=8)
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize=8, frameon=False, ncols=2, loc="upper right")
    axes[-1].set_xlabel("s")
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "–"
