# SPDX-License-Identifier: GPL-3.0-or-later
"""An even, neutral studio light for Workbench renders, lent by the preferences and given back."""

from dataclasses import dataclass

import bpy


@dataclass(frozen=True)
class _Lamp:
    """A directional lamp: direction (right, up, front), diffuse and specular strength, softness in 0..1."""

    direction: tuple[float, float, float]
    diffuse: float
    specular: float
    smooth: float


# A key from the upper left, a weak fill from behind: no side of an object falls into black, so colours
# stay readable all around. Blender's own studio lights leave the back at a tenth of the front.
AMBIENT = 0.3
LAMPS = (_Lamp((-0.45, 0.75, 0.5), 0.5, 0.4, 0.4), _Lamp((0.6, 0.3, -0.7), 0.25, 0.1, 0.7))


class StudioLight:
    """Puts the light into the preferences while it is entered; the user's own values come back afterwards."""

    def __enter__(self) -> "StudioLight":
        system = bpy.context.preferences.system
        self._before = (
            system.use_studio_light_edit,
            tuple(system.light_ambient),
            [
                (
                    lamp.use,
                    tuple(lamp.direction),
                    tuple(lamp.diffuse_color),
                    tuple(lamp.specular_color),
                    lamp.smooth,
                )
                for lamp in system.solid_lights
            ],
        )
        off = (False, (0.0, 0.0, 1.0), (0.0,) * 3, (0.0,) * 3, 0.0)
        lamps = [
            (True, lamp.direction, (lamp.diffuse,) * 3, (lamp.specular,) * 3, lamp.smooth) for lamp in LAMPS
        ]
        self._set(True, (AMBIENT,) * 3, lamps + [off] * (len(system.solid_lights) - len(lamps)))
        return self

    def __exit__(self, *exc: object) -> None:
        self._set(*self._before)

    @staticmethod
    def _set(edit: bool, ambient: tuple, lamps: list[tuple]) -> None:
        system = bpy.context.preferences.system
        system.use_studio_light_edit = edit  # without it Blender ignores the values
        system.light_ambient = ambient
        for lamp, (use, direction, diffuse, specular, smooth) in zip(system.solid_lights, lamps, strict=True):
            lamp.use, lamp.direction, lamp.smooth = use, direction, smooth
            lamp.diffuse_color, lamp.specular_color = diffuse, specular
