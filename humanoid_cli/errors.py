"""What a verb raises when a person gave it something unusable."""

from __future__ import annotations


class BadInput(ValueError):
    """One clear line for stderr; the exit code is 2."""
