"""From a snapshot to sound."""

from mp3net.generation.latents import MAX_SEED
from mp3net.generation.mp3net import MP3net
from mp3net.generation.places import BUNDLED
from mp3net.generation.song_settings import SongSettings
from mp3net.generation.songs import CEILING, Origin, Song, fades, format_called, read_origin

__all__ = [
    "BUNDLED", "CEILING", "MAX_SEED", "MP3net", "Origin", "Song", "SongSettings", "fades", "format_called", "read_origin",
]  # fmt: skip
