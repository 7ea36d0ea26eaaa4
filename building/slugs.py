# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of files and folders out of what a person typed."""

import re
import unicodedata

# A name may have 255 bytes, and a character up to 4.
LENGTH = 60
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


def slug(text: str) -> str:
    """A name that every file system takes: "A red mug!" becomes "a-red-mug". Letters of all scripts stay."""
    plain = unicodedata.normalize("NFKC", text).lower()
    # Accents of some scripts are characters of their own, and not letters to the regular expression.
    kept = "".join(c if c.isalnum() or unicodedata.category(c).startswith("M") else "-" for c in plain)
    name = re.sub("-+", "-", kept)[:LENGTH].strip("-")
    if not name:
        return "object"
    return f"{name}-object" if name in _RESERVED else name
