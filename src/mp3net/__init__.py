"""MP3net: coherent, minute-long stereo music from raw audio with a simple convolutional GAN.

Tensors are (B, C, T, F): batch, audio channels, frames, bins. Audio is (B, C, S), S samples in [-1, 1].
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mp3net.config import PRESETS
    from mp3net.dsp.mdct import imdct, mdct
    from mp3net.generation import MP3net

__version__ = "0.1.0"
__all__ = ["PRESETS", "MP3net", "imdct", "mdct"]


def __getattr__(name: str) -> Any:
    """Import only what is asked for: `mp3net --help` needs none of it, and songs need no PyTorch."""
    if name == "PRESETS":
        from mp3net.config import PRESETS

        return PRESETS
    if name == "MP3net":
        from mp3net.generation import MP3net

        return MP3net
    if name in ("mdct", "imdct"):
        from mp3net.dsp import mdct as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
