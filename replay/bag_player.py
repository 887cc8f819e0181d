"""bag_player: the robot of the graph `bag`, out of a recording."""

from __future__ import annotations

import threading
from pathlib import Path

from humanoid_replay.errors import BagError
from humanoid_replay.mapping import MappingError, load_mapping
from humanoid_replay.params import BagPlayerParams
from humanoid_replay.player import Player, PlayOptions
from humanoid_ros.node import OK, WARN, HumanoidNode, run
from humanoid_ros.params import ParameterError, declare


class BagPlayer(HumanoidNode):
    """Plays in a thread of its own; when the recording has ended it stays, so that the graph does."""

    def __init__(self) -> None:
        super().__init__("bag_player")
        self.params = declare(self, BagPlayerParams)

    def configure(self) -> None:
        """Find the recording, and publishers for what is in it."""
        p = self.params
        self._stop = threading.Event()
        self._state = "waiting"
        try:
            options = PlayOptions(rate=p.rate, start=p.start, loop=p.loop, everything=p.everything, wait=p.wait,
                                  names=load_mapping(Path(p.map) if p.map else None))
            self.player = Player(self, Path(p.bag).expanduser(), options)
        except BagError as error:
            raise ParameterError(f"bag_player: bag = '{p.bag}': {error}") from None
        except MappingError as error:
            raise ParameterError(f"bag_player: map = '{p.map}': {error}") from None
        for line in self.player.played.remarks:
            self.get_logger().warning(line)
        self._thread: threading.Thread | None = None
        self.diagnostics(self._report)

    def activated(self) -> None:
        """Play from the beginning."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._play, name="bag_player-play", daemon=True)
        self._thread.start()

    def deactivated(self) -> None:
        """Stop."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
            self._thread = None

    def _play(self) -> None:
        self._state = "playing"
        played = self.player.play(self._stop, lambda line: self.get_logger().warning(line))
        self._state = "ended"
        if not self._stop.is_set():
            self.get_logger().info(f"the recording has ended: {sum(played.counts.values())} messages")

    def _report(self) -> tuple[int, str, dict[str, object]]:
        played = self.player.played
        values = {"messages": sum(played.counts.values()), "loops": played.loops, "unheard": ", ".join(played.unheard),
                  "worst lateness ms": f"{played.late_ms:.1f}"}
        return OK if self._state == "playing" else WARN, self._state, values


def main() -> int:
    return run(BagPlayer)


if __name__ == "__main__":
    raise SystemExit(main())
