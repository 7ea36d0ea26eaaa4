# SPDX-License-Identifier: GPL-3.0-or-later
"""A validation error as sentences that name the input and the way out."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from backend.settings.numbers import NUMBER_NAMES, Numbers

_BRANCHES = ("body", "query", "path", "settings", "function-", "tuple", "constrained-", "literal[")
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "a text",
    "string_unicode": "a text of valid Unicode characters",
    "finite_number": "a finite number",
    "dict_type": "an object with named values",
    "model_type": "an object with named values",
    "model_attributes_type": "an object with named values",
    "dataclass_type": "an object with named values",
}


Fields = Mapping[str, Any]
"""`model_fields` of a pydantic model."""


def explain(error: ValidationError, fields: Fields | None = None) -> str:
    """A ValidationError as plain sentences that name the input and the way out; at most three of them.

    fields: what there is to set, to be named where something else was; None: that of GenerateSettings.
    """
    return explain_errors(error.errors(), fields)


def explain_errors(errors: Iterable[ErrorDetails | Mapping[str, Any]], fields: Fields | None = None) -> str:
    """As `explain`, for the list of errors that pydantic and FastAPI hand out."""
    known = _generate_fields() if fields is None else fields
    return " ".join(dict.fromkeys(_sentence(error, known) for error in list(errors)[:3]))


def _sentence(error: Mapping[str, Any], fields: Fields) -> str:
    kind = error["type"]
    context = error.get("ctx", {})
    # A location also holds the branch of a union and the place in a pair.
    names = [part for part in error["loc"] if isinstance(part, str) and not part.startswith(_BRANCHES)]
    name = names[-1] if names else "settings"
    given = shown(error.get("input"))
    if kind == "value_error":
        return str(context["error"])
    in_pair = any(isinstance(part, int) for part in error["loc"])
    if kind == "missing" and not in_pair:
        return f"{name} is missing." if names else "The request has no settings."
    if kind == "extra_forbidden":
        return _unknown_setting(name, fields)
    if kind.startswith("union_tag_"):
        tag = context["discriminator"].strip("'")
        choices = " or ".join(context.get("expected_tags", "").rsplit(", ", 1))
        return (
            f"{tag} must be {choices}; {shown(context['tag'])} was given."
            if choices
            else f"{tag} is missing."
        )
    if kind == "string_too_long":
        return f"{name} is too long: {len(error['input'])} characters, {context['max_length']} at most."
    if kind in ("greater_than_equal", "less_than_equal"):
        return f"{name} must be {_bounds(name, context, fields)}; {given} was given."
    if kind == "literal_error":
        return f"{name} must be {context['expected']}; {given} was given."
    if kind in ("tuple_type", "too_long", "too_short", "missing"):
        return f"{name} must be two numbers, the lowest and the highest; {given} was given."
    if kind == "json_invalid":
        return "The body of the request is not valid JSON."
    if kind in _TYPES:
        return f"{name} must be {_TYPES[kind]}; {given} was given."
    return f"{name}: {error['msg']}; {given} was given."


def _unknown_setting(name: str, fields: Fields) -> str:
    known = list(fields)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"There is no setting {name[:60]!r}.{hint} Settings: {', '.join(known)}."


def _bounds(name: str, context: Mapping[str, Any], fields: Fields) -> str:
    """Both ends where both are known, so that one answer is enough."""
    ends = {**context, **_known_ends(name, fields)}
    if "ge" in ends and "le" in ends:
        return f"between {ends['ge']} and {ends['le']}"
    return f"at least {ends['ge']}" if "ge" in ends else f"at most {ends['le']}"


def _known_ends(name: str, fields: Fields) -> dict[str, Any]:
    parts = fields[name].metadata if name in fields else ()
    ends = {end: getattr(part, end) for part in parts for end in ("ge", "le") if hasattr(part, end)}
    if not ends and name in NUMBER_NAMES:
        facts = next(each.metadata for each in dataclasses.fields(Numbers) if each.name == name)
        ends = {"ge": facts["low"], "le": facts["high"]}
    return ends


def shown(value: object) -> str:
    """A value as it may appear in a message: its repr, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _generate_fields() -> Fields:
    # Imported late: the schema itself uses this module.
    from backend.settings.schema import GenerateSettings

    return GenerateSettings.model_fields
