"""What a viewer may do, once he has shown the token: give an instruction, stop, release and reset.

Each viewer has controls of his own: a value typed by one is not shown to the others, and the controls of one who has
not shown the token do not exist.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import viser

#: Wait after a wrong token, s: nobody tries many.
PAUSE = 1.0


@dataclass
class Deeds:
    """What the controls call, from threads of the server."""

    instruct: Callable[[str], None]
    stop: Callable[[], None]
    release: Callable[[str], None]


@dataclass
class Controls:
    """Offers the controls to every viewer who comes."""

    server: viser.ViserServer
    token: str
    deeds: Deeds
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.server.on_client_connect(self._offer)

    def _offer(self, client: viser.ClientHandle) -> None:
        folder = client.gui.add_folder("Act", order=0.5)
        with folder:
            text = client.gui.add_text("token", "")
            unlock = client.gui.add_button("Unlock")

        @unlock.on_click
        def _(_event: object) -> None:
            if not self._right(text.value):
                text.value = ""
                client.add_notification("Not unlocked", "that is not the token", auto_close_seconds=5.0, color="red")
                return
            text.remove()
            unlock.remove()
            self._open(client, folder)

    def _right(self, given: str) -> bool:
        with self._lock:  # one try at a time, whoever makes it
            if hmac.compare_digest(given.strip().encode(), self.token.encode()):
                return True
            time.sleep(PAUSE)
            return False

    def _open(self, client: viser.ClientHandle, folder: viser.GuiFolderHandle) -> None:
        with folder:
            stop = client.gui.add_button("STOP", color="red")
            text = client.gui.add_text("instruction", "")
            give = client.gui.add_button("Give")
            name = client.gui.add_text("your name", "", hint="who answers for a reset")
            release = client.gui.add_button("Release and reset")

        @stop.on_click
        def _(_event: object) -> None:
            self.deeds.stop()

        @give.on_click
        def _(_event: object) -> None:
            if text.value.strip():
                self.deeds.instruct(text.value.strip())

        @release.on_click
        def _(_event: object) -> None:
            if not name.value.strip():
                client.add_notification("Not reset", "give your name: who answers for a reset?",
                                        auto_close_seconds=5.0, color="red")
                return
            self.deeds.release(name.value.strip())
