"""Audio files: the only place that knows their formats. Audio is float32, samples first (S, C) while it streams."""
