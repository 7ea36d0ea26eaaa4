# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds one toy object out of named, coloured parts.

Every part carries a role: "main" and "second" get the colours of the caption, the name of a palette
colour ("black") stays that colour in every object. Lengths are in arbitrary units (the finished scene is
scaled to its bounding sphere), angles in degrees, z is up, the front faces -Y, and the object stands on
z = 0.
"""

import itertools
import math
from collections.abc import Sequence

import bmesh
import bpy
from mathutils import Euler, Matrix, Vector

Vec = Sequence[float]


def placement(at: Vec = (0, 0, 0), rot: Vec = (0, 0, 0), scale: Vec = (1, 1, 1)) -> Matrix:
    """Translation after rotation (XYZ Euler, degrees) after scale."""
    rotation = Euler([math.radians(a) for a in rot]).to_matrix().to_4x4()
    return Matrix.Translation(Vector(at)) @ rotation @ Matrix.Diagonal((*scale, 1.0))


class Builder:
    """Collects the parts of one object in a single mesh.

    Attributes:
        roles: the roles in order of their first use; a face's material index is its role's place here.
        rest_height: height of the surface on which another object may stand, or None.
        rest_radius: radius of that surface around its centre `rest_center` (x, y).
    """

    def __init__(self) -> None:
        self.bm = bmesh.new()
        self.roles: list[str] = []
        self.rest_height: float | None = None
        self.rest_radius = 0.5
        self.rest_center = (0.0, 0.0)

    def rest(self, height: float, radius: float, center: tuple[float, float] = (0.0, 0.0)) -> None:
        """Declares the surface on which another object may stand ("X on Y")."""
        self.rest_height, self.rest_radius, self.rest_center = height, radius, center

    # -- primitives -------------------------------------------------------------------------------

    def box(
        self,
        role: str,
        size: Vec,
        at: Vec = (0, 0, 0),
        rot: Vec = (0, 0, 0),
        bevel: float = 0.0,
        taper: float = 1.0,
    ) -> None:
        """A box of `size` (x, y, z) around `at`; `taper` scales its top face, `bevel` rounds its edges."""
        made = bmesh.ops.create_cube(self.bm, size=1.0)["verts"]
        for vertex in made:
            if vertex.co.z > 0:
                vertex.co.x *= taper
                vertex.co.y *= taper
            vertex.co = Vector(c * s for c, s in zip(vertex.co, size, strict=True))
        faces = {face for vertex in made for face in vertex.link_faces}
        if bevel > 0:
            edges = list(dict.fromkeys(edge for vertex in made for edge in vertex.link_edges))
            before = set(self.bm.faces) - faces
            bmesh.ops.bevel(self.bm, geom=edges, offset=bevel, segments=3, affect="EDGES", profile=0.5)
            faces = set(self.bm.faces) - before
        self.finish(role, faces, placement(at, rot))

    def cylinder(
        self,
        role: str,
        radius: float,
        height: float,
        at: Vec = (0, 0, 0),
        rot: Vec = (0, 0, 0),
        top: float | None = None,
        segments: int = 24,
    ) -> None:
        """A cylinder along z around `at`; `top` is its upper radius (0: a cone); few segments: a prism."""
        upper = radius if top is None else top
        made = bmesh.ops.create_cone(
            self.bm, cap_ends=True, segments=segments, radius1=radius, radius2=max(upper, 1e-4), depth=height
        )["verts"]
        self.finish(role, {f for v in made for f in v.link_faces}, placement(at, rot))

    def sphere(
        self,
        role: str,
        radius: float,
        at: Vec = (0, 0, 0),
        scale: Vec = (1, 1, 1),
        rot: Vec = (0, 0, 0),
        segments: int = 24,
    ) -> None:
        """A UV sphere, stretched by `scale` before it is turned."""
        # own rings: bmesh's operator takes longer with every part that is there already
        bands = segments // 2 + 2
        heights = [math.pi * i / bands for i in range(bands + 1)]
        profile = [(radius * math.sin(h), -radius * math.cos(h)) for h in heights]
        profile[0], profile[-1] = (0.0, -radius), (0.0, radius)
        self.finish(role, self._bridge(self._rings(profile, segments)), placement(at, rot, scale))

    def monkey(self, role: str, size: float, at: Vec = (0, 0, 0), rot: Vec = (0, 0, 0)) -> None:
        """Blender's Suzanne, rounded by one subdivision, about `size` wide, looking to -Y."""
        made = bmesh.ops.create_monkey(self.bm)["verts"]
        before = set(self.bm.faces) - {f for v in made for f in v.link_faces}
        edges = list(dict.fromkeys(e for v in made for e in v.link_edges))
        bmesh.ops.subdivide_edges(self.bm, edges=edges, cuts=1, smooth=1.0, use_grid_fill=True)
        faces = set(self.bm.faces) - before
        matrix = placement(at, rot, (size / 2.7,) * 3)
        self.finish(role, faces, matrix)

    def lathe(
        self,
        role: str,
        profile: Sequence[tuple[float, float]],
        at: Vec = (0, 0, 0),
        rot: Vec = (0, 0, 0),
        segments: int = 28,
    ) -> None:
        """A surface of revolution about z through (radius, height) points, from the lower outside inwards.

        A radius of 0 closes the end. For a vessel go up the outside and down the inside.
        """
        self.finish(role, self._bridge(self._rings(profile, segments)), placement(at, rot))

    def torus(
        self,
        role: str,
        ring: float,
        tube: float,
        at: Vec = (0, 0, 0),
        rot: Vec = (0, 0, 0),
        arc: float = 360.0,
    ) -> None:
        """A torus about z with radius `ring`, thickness radius `tube`; `arc` < 360 leaves an open handle."""
        steps = max(8, int(28 * arc / 360))
        count = steps if arc >= 360 else steps + 1
        points = [
            (
                ring * math.cos(math.radians(arc * i / steps)),
                ring * math.sin(math.radians(arc * i / steps)),
                0.0,
            )
            for i in range(count)
        ]
        self.tube(role, points, tube, at=at, rot=rot, closed=arc >= 360)

    def tube(
        self,
        role: str,
        points: Sequence[Vec],
        radius: float | Sequence[float],
        at: Vec = (0, 0, 0),
        rot: Vec = (0, 0, 0),
        closed: bool = False,
        segments: int = 10,
    ) -> None:
        """A round tube along `points`; `radius` may be one number or one a point."""
        path = [Vector(p) for p in points]
        radii = list(radius) if isinstance(radius, Sequence) else [radius] * len(path)
        rings = []
        normal: Vector | None = None
        for index, point in enumerate(path):
            tangent = self._tangent(path, index, closed)
            if normal is None:
                normal = tangent.orthogonal().normalized()
            else:  # parallel transport keeps the tube from twisting
                normal = (normal - tangent * normal.dot(tangent)).normalized()
            side = tangent.cross(normal)
            angles = [2 * math.pi * i / segments for i in range(segments)]
            rings.append(
                [
                    self.bm.verts.new(point + radii[index] * (math.cos(a) * normal + math.sin(a) * side))
                    for a in angles
                ]
            )
        faces = self._bridge(rings, closed)
        if not closed:
            faces |= {self.bm.faces.new(list(reversed(rings[0]))), self.bm.faces.new(rings[-1])}
        self.finish(role, faces, placement(at, rot))

    def prism(
        self,
        role: str,
        outline: Sequence[tuple[float, float]],
        depth: float,
        at: Vec = (0, 0, 0),
        rot: Vec = (0, 0, 0),
    ) -> None:
        """An outline in the xz plane, counter-clockwise from the front, `depth` thick around y = 0."""
        front = [self.bm.verts.new((x, -depth / 2, z)) for x, z in outline]
        back = [self.bm.verts.new((x, depth / 2, z)) for x, z in outline]
        faces = {self.bm.faces.new(front), self.bm.faces.new(list(reversed(back)))}
        for i in range(len(outline)):
            j = (i + 1) % len(outline)
            faces.add(self.bm.faces.new((front[j], front[i], back[i], back[j])))
        self.finish(role, faces, placement(at, rot))

    # -- the end ----------------------------------------------------------------------------------

    def to_mesh(self, name: str) -> bpy.types.Mesh:
        """Makes the Blender mesh: outward normals, smooth shading with sharp edges above 35 degrees."""
        bmesh.ops.recalc_face_normals(self.bm, faces=self.bm.faces)
        mesh = bpy.data.meshes.new(name)
        self.bm.to_mesh(mesh)
        self.bm.free()
        mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
        mesh.set_sharp_from_angle(angle=math.radians(35))
        return mesh

    # -- inside -----------------------------------------------------------------------------------

    @staticmethod
    def _tangent(path: list[Vector], index: int, closed: bool) -> Vector:
        count = len(path)
        ahead = path[(index + 1) % count] if closed else path[min(index + 1, count - 1)]
        behind = path[index - 1] if closed else path[max(index - 1, 0)]
        return (ahead - behind).normalized()

    def _rings(self, profile: Sequence[tuple[float, float]], segments: int) -> list:
        turns = [
            (math.cos(2 * math.pi * i / segments), math.sin(2 * math.pi * i / segments))
            for i in range(segments)
        ]
        new = self.bm.verts.new
        return [
            [new((0, 0, z))] if radius <= 1e-6 else [new((radius * c, radius * s, z)) for c, s in turns]
            for radius, z in profile
        ]

    def _bridge(self, rings: list, closed: bool = False) -> set:
        faces = set()
        pairs = list(itertools.pairwise(rings)) + ([(rings[-1], rings[0])] if closed else [])
        for low, high in pairs:
            count = max(len(low), len(high))
            for i in range(count):
                j = (i + 1) % count
                corners = [low[i % len(low)], low[j % len(low)], high[j % len(high)], high[i % len(high)]]
                corners = list(dict.fromkeys(corners))
                if len(corners) > 2:
                    faces.add(self.bm.faces.new(corners))
        return faces

    def finish(self, role: str, faces: set, matrix: Matrix) -> None:
        """Gives new faces their role and moves their corners by `matrix`."""
        if role not in self.roles:
            self.roles.append(role)
        index = self.roles.index(role)
        vertices = set()
        for face in faces:
            face.material_index = index
            vertices.update(face.verts)
        bmesh.ops.transform(self.bm, matrix=matrix, verts=list(vertices))
