"""What a setting needs, in words, where a value was refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from annotated_types import Ge, Gt, Le, Lt

WORDS = {
    "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number", "bool_type": "true or false",
    "finite_number": "a finite number", "tuple_type": "a list", "string_type": "a text",
}  # fmt: skip
BOUNDS = {Ge: ("at least", "ge"), Gt: ("above", "gt"), Le: ("at most", "le"), Lt: ("below", "lt")}
RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
BRACES = ("model_type", "model_attributes_type", "dict_type")
POINTS = ("tuple_type", "missing", "too_long")


def need(problem: Mapping[str, Any], key: str, types: list[type], metadata: list[Any]) -> str:
    """What is allowed instead of the value that pydantic refused with `problem`. `types` and `metadata` are those of the
    field; empty for its parts."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in BRACES:
        return "needs settings in braces, {...}"
    if kind == "union_tag_invalid":
        return f"choose {context['expected_tags'].replace(', ', ' or ')}"
    if kind == "literal_error":
        return f"choose {context['expected']}"
    if "_schedule" in key and kind in POINTS:
        return "needs points [tracks seen, factor]"
    what = WORDS.get(kind) or (("a whole number" if int in types else "a number") if kind in RANGE else None)
    if what is None:
        return str(problem["msg"]).removeprefix("Value error, ")
    limits = [
        f"{word} {getattr(one, name):g}" for one in metadata for bound, (word, name) in BOUNDS.items() if type(one) is bound
    ]
    null = " or null" if type(None) in types else ""
    return f"needs {what}{', ' if limits else ''}{' and '.join(limits)}{',' if limits and null else ''}{null}"


def shown(value: Any) -> str:
    """A value as configurations write it."""
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
