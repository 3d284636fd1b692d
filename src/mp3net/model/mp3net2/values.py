"""Numbers that the second family's networks share, whatever computes them."""

LEAKY_SLOPE = 0.2
MAPPING_DIM = 256
ROTARY_BASE = 10_000.0
# The magnitude up to which amplitudes of partials are expanded, and the power below which they are not.
EXPANDED_TO = 4.0
EXPANSION_FLOOR = 1e-3
EXPANDED_GAIN = 0.3
