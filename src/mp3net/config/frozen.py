"""What all sections of a configuration have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Validated when built, and constant from then on; unknown keys are errors."""

    # JSON as Python reads it has Infinity and NaN, which pass most bounds and end a training much later.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
