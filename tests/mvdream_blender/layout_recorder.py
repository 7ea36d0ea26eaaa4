# SPDX-License-Identifier: GPL-3.0-or-later
"""A UILayout that writes down what is drawn: drawing needs a window, the logic does not."""

import bpy


class Layout:
    """Takes what a panel may ask of a UILayout and writes it down."""

    def __init__(self, seen):
        object.__setattr__(self, "seen", seen)

    def __setattr__(self, name, value):
        assert name in bpy.types.UILayout.bl_rna.properties, f"UILayout has no {name}"

    def __getattr__(self, name):
        assert name in bpy.types.UILayout.bl_rna.functions, f"UILayout has no {name}()"
        known = set(bpy.types.UILayout.bl_rna.functions[name].parameters.keys())

        def call(*arguments, **values):
            assert set(values) <= known, f"{name}() takes no {set(values) - known}"
            if icon := values.get("icon"):
                assert icon in bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
            self.seen.append((name, arguments, values))
            if name == "prop":
                assert arguments[1] in arguments[0].bl_rna.properties
            if name == "operator" and arguments[0].startswith("mvdream."):
                assert hasattr(bpy.types, "MVDREAM_OT_" + arguments[0].split(".")[1])
            return Layout(self.seen) if name in ("row", "column", "box") else Properties(self.seen)

        return call


class Properties:
    """The properties of a drawn operator: what is set is written down as ("set", (name, value), {})."""

    def __init__(self, seen):
        object.__setattr__(self, "seen", seen)

    def __setattr__(self, name, value):
        self.seen.append(("set", (name, value), {}))


def operators(seen):
    """Names of the operators that were offered."""
    return [arguments[0] for name, arguments, _ in seen if name == "operator"]


def labels(seen):
    """Texts of the labels."""
    return [values["text"] for name, _, values in seen if name == "label"]
