"""Changes to the code that recipes try and no setting makes. Each is in force inside of its context."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from mp3net.model.mp3net2 import generator


def unexpanded() -> AbstractContextManager[Any]:
    """Amplitudes of partials as the last layer gives them."""
    return patch.object(generator, "expanded", lambda amplitudes: amplitudes)
