# SPDX-License-Identifier: GPL-3.0-or-later
"""The selected objects become multi-view training data: images and cameras in a folder."""

from pathlib import Path

import bpy

from ..dataset import render_dataset


class MVDREAM_OT_render_dataset(bpy.types.Operator):
    """Render the selected objects from all around into a dataset folder. Blender is busy while it renders"""

    bl_idname = "mvdream.render_dataset"
    bl_label = "Render Dataset"
    bl_options = {"REGISTER"}

    directory: bpy.props.StringProperty(name="Folder", subtype="DIR_PATH", options={"SKIP_SAVE"})
    caption: bpy.props.StringProperty(
        name="Caption",
        description="What a prompt would call the object. Empty: the active object's name",
        options={"SKIP_SAVE"},
    )
    sets: bpy.props.IntProperty(
        name="Sets",
        description="Camera sets, each of which sees the object from all sides",
        default=8,
        min=1,
        max=1000,
    )
    views: bpy.props.IntProperty(name="Views", description="Views in a set", default=4, min=1, max=64)
    image_size: bpy.props.IntProperty(name="Image Size", default=256, min=16, max=4096, subtype="PIXEL")
    engine: bpy.props.EnumProperty(
        name="Engine",
        items=(
            ("CYCLES", "Cycles", "With shadows"),
            ("WORKBENCH", "Workbench", "Many times faster, even light"),
        ),
    )
    seed: bpy.props.IntProperty(name="Seed", description="Of the random cameras", min=0)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(context.selected_objects)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        objects = list(context.selected_objects)
        folder = Path(bpy.path.abspath(self.directory))
        if not self.directory:
            self.report({"ERROR"}, "No folder was given: choose where the images should go.")
            return {"CANCELLED"}
        manager = context.window_manager
        manager.progress_begin(0, self.sets * self.views)
        try:
            render_dataset(
                objects,
                _object_folder(folder, _caption(self.caption, context)),
                _caption(self.caption, context),
                sets=self.sets,
                views=self.views,
                image_size=self.image_size,
                engine=self.engine,
                seed=self.seed,
                report=lambda done, _total: manager.progress_update(done),
            )
        except ValueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        except OSError as error:
            self.report({"ERROR"}, f"{folder} can't be written: {error.strerror or error}.")
            return {"CANCELLED"}
        finally:
            manager.progress_end()
        self.report({"INFO"}, f"{self.sets * self.views} images are in {folder}")
        return {"FINISHED"}


def _caption(given: str, context: bpy.types.Context) -> str:
    active = context.object or context.selected_objects[0]
    return given.strip() or active.name


def _object_folder(dataset: Path, caption: str) -> Path:
    """The object's own folder in the dataset, named after the caption.

    Raises:
        ValueError: something else has that name; an earlier rendering of the object may be replaced.
    """
    name = "".join(letter if letter.isalnum() else "-" for letter in caption.lower()).strip("-")
    folder = dataset / (name[:80] or "object")
    if folder.exists() and not (folder / "transforms.json").is_file():
        raise ValueError(f"{folder} exists and holds no dataset: choose another folder or caption.")
    return folder


CLASSES = (MVDREAM_OT_render_dataset,)
