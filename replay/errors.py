"""What goes wrong with recordings."""

from __future__ import annotations


class BagError(ValueError):
    """A recording that cannot be read or written; one line that names the file and the reason."""

    def __init__(self, path: object, reason: object) -> None:
        self.path, self.reason = str(path), " ".join(str(reason).split())
        super().__init__(f"{self.path}: {self.reason}")
