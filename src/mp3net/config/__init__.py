"""Configuration is data: saved as JSON beside the weights. No torch here."""

from mp3net.config.models import Mp3net2Model, PaperModel
from mp3net.config.presets import PRESETS, UNCHANGED, preset, presets_for
from mp3net.config.sections import (
    AudioConfig,
    AugmentConfig,
    Config,
    DataConfig,
    MaskingNoise,
    ModelConfig,
    ObjectiveConfig,
    OptimiserConfig,
    Precision,
    Relativistic,
    RunConfig,
    Schedule,
    WganGp,
    WindowName,
)
from mp3net.config.settings import (
    assignments,
    differing_keys,
    override,
    parse_config,
    read_config,
    stored_config,
    valid_keys,
)
from mp3net.config.upgrade import FORMAT_VERSION

__all__ = [
    "FORMAT_VERSION", "PRESETS", "UNCHANGED", "AudioConfig", "AugmentConfig", "Config", "DataConfig", "MaskingNoise",
    "ModelConfig", "Mp3net2Model", "ObjectiveConfig", "OptimiserConfig", "PaperModel", "Precision", "Relativistic",
    "RunConfig", "Schedule", "WganGp", "WindowName", "assignments", "differing_keys", "override", "parse_config", "preset",
    "presets_for", "read_config", "stored_config", "valid_keys",
]  # fmt: skip
