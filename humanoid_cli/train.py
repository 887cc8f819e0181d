"""`humanoid-twin train`: demonstrations, learning and export in one command; the same seed gives the same weights."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from humanoid_cli.errors import BadInput
from humanoid_core.robot import load_robot

#: Pictures of one file, and tops of things that the expert solves for.
FRAMES, PLACES = 1000, 2000
WIDTH, HEIGHT = 128, 96


def train_command(
    out: Annotated[Path, typer.Option(help="Folder for data, state and checkpoint.")] = Path("out/train"),
    robot: Annotated[str, typer.Option(help="Robot file: a name in config/robots, or a path.")] = "g1",
    seed: Annotated[int, typer.Option(min=0, help="Of demonstrations and learning.")] = 1,
    pictures: Annotated[int, typer.Option(min=16, max=1_000_000, help="Moments with a picture.")] = 12000,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="Times that every picture is learned from.")] = 12,
    rounds: Annotated[int, typer.Option(min=1, max=10000, help="Rounds of 20480 moments of motion.")] = 240,
    sentences: Annotated[int, typer.Option(min=1, max=10000, help="Rounds of 6000 sentences.")] = 40,
    places: Annotated[int, typer.Option(min=8, max=20000, help="Places that the expert solves for.")] = PLACES,
    threads: Annotated[int, typer.Option(min=1, max=2, help="2: eyes and motion learn at the same time.")] = 2,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write machine and figures to FILE.")
    ] = None,
) -> None:
    """Make demonstrations, train the policy in the box and export it. Interrupted, the same command goes on."""
    import torch

    from humanoid_bench.demonstrations import demonstrate
    from humanoid_bench.studio import StudioError
    from humanoid_cli.figures import Figure, check_writable, write_figures
    from vla_nodes.training.dataset import DatasetError, Recipe
    from vla_nodes.training.expert import ExpertError
    from vla_nodes.training.export import ExportError, export
    from vla_nodes.training.learn import Effort, TrainingError
    from vla_nodes.training.train import train

    check_writable(json)
    model = load_robot(robot)
    frames = min(FRAMES, pictures // 4)
    shards = pictures // frames
    recipe = Recipe(model.name, seed, shards, max(1, shards // 16), frames, places, WIDTH, HEIGHT)
    effort = Effort(reader=sentences, actor=rounds, epochs=epochs, batch=min(64, frames))
    torch.set_num_threads(1)
    console = Console(highlight=False)
    clock = _Clock(out)
    try:
        with _progress(console) as bars:
            data = demonstrate(model, out / "data", recipe, _data_bar(bars))
            trained = train(model, data, effort, out / "state", _learn_bar(bars), bars.console.print, threads)
        options = (f"--seed {seed} --pictures {pictures} --epochs {epochs} --rounds {rounds} --sentences {sentences} "
                   f"--places {places} --threads {threads}")  # fmt: skip
        seconds, busy = clock.stop()
        run = {
            "runs": clock.runs,
            "seconds": seconds,
            "processor_seconds": busy,
            "threads": threads,
            "processor": _processor(),
            "torch": torch.__version__,
        }
        where = out / f"{model.name}_small"
        digest = export(trained, data, effort, where, f"humanoid-twin train {options}", run)
    except (DatasetError, TrainingError, ExpertError, ExportError, StudioError) as error:
        raise BadInput(f"train: {error}") from None
    except KeyboardInterrupt:
        clock.stop()
        console.print("interrupted; the same command goes on")
        raise typer.Exit(130) from None
    console.print(f"{where}: sha256 {digest}, {seconds / 60:.1f} min")
    c, r = trained.calibration, trained.reading
    write_figures(json, {
        "train_seconds": Figure(seconds, "s", 3600.0, 1),
        "place_error_median_mm": Figure(c.median_error * 1e3, "mm", None, c.moments),
        "place_right": Figure(c.right, "", None, c.moments),
        "paraphrases_understood": Figure(r.held_out, "", 0.85, 2000),
        "strange_refused": Figure(r.refused, "", None, 2000),
    })  # fmt: skip


def _progress(console: Console) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                    TimeRemainingColumn(), console=console)  # fmt: skip


class _data_bar:
    """One bar for each kind of thing that is made."""

    def __init__(self, bars: Progress) -> None:
        self._bars, self._ids = bars, {}  # type: Progress, dict[str, object]

    def __call__(self, what: str, done: int, of: int) -> None:
        if what not in self._ids:
            self._ids[what] = self._bars.add_task(what, total=of)
        self._bars.update(self._ids[what], completed=done, total=of)  # type: ignore[arg-type]


class _learn_bar(_data_bar):
    def __call__(self, what: str, done: int, of: int, loss: float = 0.0) -> None:
        super().__call__(what, done, of)
        self._bars.update(self._ids[what], description=f"{what} (loss {loss:.4f})")  # type: ignore[arg-type]
        if not self._bars.console.is_terminal:
            self._bars.console.print(f"{what} {done}/{of}: loss {loss:.4f}")


class _Clock:
    """Wall and processor seconds and the number of all runs that led here, kept in the folder; also of one that was
    interrupted, unless it was killed."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "seconds"
        wall, busy, runs = map(float, self._file.read_text().split()) if self._file.is_file() else (0.0, 0.0, 0.0)
        self._before, self.runs = (wall, busy), int(runs) + 1
        self._began = time.monotonic()

    def stop(self) -> tuple[float, float]:
        now = time.monotonic() - self._began, time.process_time()
        wall, busy = (before + more for before, more in zip(self._before, now, strict=True))
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(f"{wall:.1f} {busy:.1f} {self.runs}\n")
        return wall, busy


def _processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), platform.machine())
