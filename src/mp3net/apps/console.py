"""The console that commands print tables and progress to."""

from __future__ import annotations

from rich.console import Console


def plain_console() -> Console:
    """Shows every text as it is: names of files may hold what Rich would take for markup or an emoji."""
    return Console(markup=False, emoji=False, highlight=False)
