# SPDX-License-Identifier: GPL-3.0-or-later
"""A GLB becomes an object in the scene: named after the prompt, at its place, selected, one undo step."""

import json
from collections.abc import Callable
from pathlib import Path

import bpy

from .errors import Cancelled, MVDreamError
from .job import Job
from .models import AUTO
from .pending import Place
from .tasks import Steps, Until

NAME_LENGTH = 60
# Modal operators under whose hands the scene must not change.
_HANDS_ON = ("TRANSFORM_OT", "OBJECT_OT", "MESH_OT", "SCULPT_OT", "PAINT_OT", "CURVE_OT", "VIEW3D_OT_select")


class MVDREAM_OT_import_result(bpy.types.Operator):
    """Put a finished object into the scene"""

    bl_idname = "mvdream.import_result"
    bl_label = "Import MVDream Result"
    bl_options = {"INTERNAL", "UNDO"}

    filepath: bpy.props.StringProperty(subtype="FILE_PATH")
    prompt: bpy.props.StringProperty()
    job: bpy.props.StringProperty()
    settings: bpy.props.StringProperty(default="{}")
    location: bpy.props.FloatVectorProperty(size=3, subtype="TRANSLATION")

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            made = place_glb(context, Path(self.filepath), self.prompt, tuple(self.location))
        except MVDreamError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        _describe(made, self.prompt, self.job, json.loads(self.settings))
        return {"FINISHED"}


def deliver(mesh: Path, job: Job, place: Place, at_once: Callable[[], bool] = lambda: False) -> Steps[str]:
    """Put the mesh into the scene as one undo step, as soon as the user's hands are off it.

    Args:
        at_once: true while waiting for that is in vain, for the window stands still: Edit Mode and its like
            are left then.

    Returns the object's name.

    Raises:
        MVDreamError: the file can't be read as a mesh.
    """
    job.message = _occupied()
    yield Until(lambda: job.cancel_asked or at_once() or not _occupied())
    if job.cancel_asked:
        raise Cancelled("Cancelled.")
    context = bpy.context
    scene = _scene(place)
    if scene is None:
        scene = context.scene
        job.note = f'"{job.prompt}" was made for another file, or a scene that is gone: it is in this scene.'
    override: dict[str, object] = {"scene": scene, "view_layer": scene.view_layers[0]}
    windows = context.window_manager.windows
    window = next((window for window in windows if window.scene == scene), None)
    if window is not None:
        override = {"window": window, "scene": scene, "view_layer": window.view_layer}
    with context.temp_override(**override):
        try:
            # Called with undo: from a timer nothing else makes the step.
            bpy.ops.mvdream.import_result(
                "EXEC_DEFAULT",
                True,
                filepath=str(mesh),
                prompt=job.prompt,
                job=job.id,
                settings=json.dumps(job.settings),
                location=place.location,
            )
        except RuntimeError as error:
            raise MVDreamError(_without_prefix(str(error))) from None
        return bpy.context.view_layer.objects.active.name


def place_glb(
    context: bpy.types.Context, file: Path, prompt: str, location: tuple[float, ...]
) -> bpy.types.Object:
    """Import a GLB of one mesh as one object, whatever the state of the view layer.

    Args:
        location: where its origin goes, world units.

    Raises:
        MVDreamError: no such file, or no mesh in it.
    """
    if not file.is_file():
        raise MVDreamError(f"The mesh {file} is missing: generate it again.")
    if context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    layer = context.view_layer
    target = _visible_collection(layer)
    made = _import(context, file)
    meshes = [item for item in made if item.type == "MESH"]
    if not meshes:
        _remove(made)
        raise MVDreamError(f"There is no mesh in {file.name}: generate it again.")
    result = meshes[0]
    world = result.matrix_world.copy()
    result.parent = None
    result.matrix_world = world
    _remove([item for item in made if item != result])
    for collection in list(result.users_collection):
        collection.objects.unlink(result)
    target.objects.link(result)
    model = result.get("model")
    for key in set(result.keys()) - set(result.bl_rna.properties.keys()):
        del result[key]  # the file's extras; what the add-on keeps has names of its own
    if isinstance(model, str):
        result["mvdream_model"] = model  # the one that was used, where "auto" was asked for
    result.rotation_mode = "XYZ"
    result.location = location
    _name(result, prompt)
    _select(context, result)
    return result


def _import(context: bpy.types.Context, file: Path) -> list[bpy.types.Object]:
    """Blender's own importer, into the scene's root collection: in an excluded one it fails."""
    layer = context.view_layer
    active_name = layer.active_layer_collection.name
    layer.active_layer_collection = layer.layer_collection
    before = set(bpy.data.objects)
    try:
        bpy.ops.import_scene.gltf(filepath=str(file))
    except RuntimeError as error:
        _remove([item for item in bpy.data.objects if item not in before])
        raise MVDreamError(f"{file.name} can't be read as a mesh: {_without_prefix(str(error))}") from None
    finally:
        found = _find_layer_collection(layer.layer_collection, active_name)
        if found is not None:
            layer.active_layer_collection = found
    layer.update()
    return [item for item in bpy.data.objects if item not in before]


def _visible_collection(layer: bpy.types.ViewLayer) -> bpy.types.Collection:
    """The active collection; the scene's root one where the active one would hide the object."""
    active = layer.active_layer_collection
    if active.is_visible and not active.exclude and active.collection.library is None:
        return active.collection
    return layer.layer_collection.collection


def _find_layer_collection(root: bpy.types.LayerCollection, name: str) -> bpy.types.LayerCollection | None:
    if root.name == name:
        return root
    return next((found for child in root.children if (found := _find_layer_collection(child, name))), None)


def _name(result: bpy.types.Object, prompt: str) -> None:
    name = " ".join(prompt.split())[:NAME_LENGTH] or "MVDream"
    result.name = name
    result.data.name = name
    for slot in result.material_slots:
        if slot.material is not None:
            slot.material.name = name
            for image in _images(slot.material):
                image.name = name


def _images(material: bpy.types.Material) -> list[bpy.types.Image]:
    if material.node_tree is None:
        return []
    return [
        node.image for node in material.node_tree.nodes if node.type == "TEX_IMAGE" and node.image is not None
    ]


def _describe(made: bpy.types.Object, prompt: str, job: str, settings: dict[str, object]) -> None:
    """What it was made from, so that it can be made again."""
    made["mvdream_prompt"] = prompt
    # ID properties hold 32-bit integers, and so do seeds.
    made["mvdream_seed"] = int(settings.get("seed") or 0)  # type: ignore[call-overload]
    made["mvdream_model"] = made.get("mvdream_model") or str(settings.get("model") or AUTO)
    made["mvdream_settings"] = json.dumps(settings, sort_keys=True)
    made["mvdream_job"] = job


def _select(context: bpy.types.Context, result: bpy.types.Object) -> None:
    layer = context.view_layer
    for other in list(layer.objects.selected):
        other.select_set(False, view_layer=layer)
    result.select_set(True, view_layer=layer)
    layer.objects.active = result
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            space = area.spaces.active
            # Somebody who works in local view would not see it.
            if area.type == "VIEW_3D" and space.local_view is not None and window.view_layer == layer:
                result.local_view_set(space, True)


def _remove(items: list[bpy.types.Object]) -> None:
    for item in items:
        data = item.data
        bpy.data.objects.remove(item)
        if isinstance(data, bpy.types.Mesh) and data.users == 0:
            bpy.data.meshes.remove(data)


def _scene(place: Place) -> bpy.types.Scene | None:
    """The scene that was meant, also under a new name; None where it was deleted or another file is open."""
    if place.scene_uid:
        return next((scene for scene in bpy.data.scenes if scene.session_uid == place.scene_uid), None)
    return bpy.data.scenes.get(place.scene)


def refuse_to_wait() -> None:
    """For a call that blocks the window, before it begins: what is under way there can't end meanwhile.

    Raises:
        MVDreamError: Blender renders, or the user has hold of something.
    """
    if _is_rendering():
        raise MVDreamError("Blender is rendering: call again when that is done.")
    if tool := _tool_in_hand():
        raise MVDreamError(f"{tool} is under way in the window: call again when it is done.")


def _occupied() -> str:
    """What has to end before the scene may change, as a sentence: it is the user's then. "" for nothing."""
    if _is_rendering():
        return "Ready: comes when the rendering is done"
    if _tool_in_hand():
        return "Ready: comes when you let go"
    active = [window.view_layer.objects.active for window in _windows()]
    if any(item is not None and item.mode != "OBJECT" for item in active):
        return "Ready: comes when you are in Object Mode"
    return ""


def _is_rendering() -> bool:
    return bool(_windows()) and bpy.app.is_job_running("RENDER")


def _tool_in_hand() -> str:
    """The name of a modal operator under whose hands the scene must not change; "" for none."""
    running = [operator for window in _windows() for operator in getattr(window, "modal_operators", ())]
    return next((tool.bl_label for tool in running if tool.bl_idname.startswith(_HANDS_ON)), "")


def _windows() -> list[bpy.types.Window]:
    """Those that somebody can do something in."""
    return [] if bpy.app.background else list(bpy.context.window_manager.windows)


def _without_prefix(message: str) -> str:
    """Blender puts "Error: " before what an operator reports."""
    return message.removeprefix("Error: ").strip()
