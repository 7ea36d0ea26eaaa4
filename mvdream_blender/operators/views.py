# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a prompt's views before minutes go into its mesh, and choose a seed by them."""

import random

import bpy

from .. import runtime
from ..console import told
from ..job_settings import views_settings
from ..models import AUTO
from ..presets import LARGEST_SEED
from .waiting import begin


class MVDREAM_OT_preview_views(bpy.types.Operator):
    """Show what the model makes of the prompt: four views as pictures, in seconds. The window stays free"""

    bl_idname = "mvdream.preview_views"
    bl_label = "Preview Views"
    # Without UNDO: nothing in the file changes, and the redo panel must not start a second job.
    bl_options = {"REGISTER"}

    prompt: bpy.props.StringProperty(name="Prompt", options={"SKIP_SAVE"})
    negative_prompt: bpy.props.StringProperty(name="Negative Prompt", options={"SKIP_SAVE"})
    seed: bpy.props.IntProperty(name="Seed", min=0, max=LARGEST_SEED, options={"SKIP_SAVE"})
    model: bpy.props.StringProperty(name="Model", default=AUTO, options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """From a button or the operator search: what the panel says, where the caller says nothing."""
        inputs = context.scene.mvdream
        for name in ("prompt", "negative_prompt", "seed", "model"):
            if not self.properties.is_property_set(name):
                setattr(self, name, getattr(inputs, name))
        return self.execute(context)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        settings = views_settings(self.prompt, self.negative_prompt, self.seed, self.model)
        with told() as progress:
            return begin(
                self,
                lambda session: session.preview_views(settings),
                lambda session: session.job and progress(session.job),
            )


class MVDREAM_OT_new_seed(bpy.types.Operator):
    """Draw a new seed for the next preview or object"""

    bl_idname = "mvdream.new_seed"
    bl_label = "New Seed"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.mvdream.seed = random.randint(0, LARGEST_SEED)
        return {"FINISHED"}


class MVDREAM_OT_use_seed(bpy.types.Operator):
    """Take over the seed of the previewed views"""

    bl_idname = "mvdream.use_seed"
    bl_label = "Use This Seed"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        session = runtime.peek()
        if session is None or session.views is None:
            cls.poll_message_set("There are no previewed views: press Preview Views first.")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        views = runtime.session().views
        if views is not None:
            context.scene.mvdream.seed = views.seed
        return {"FINISHED"}


CLASSES = (MVDREAM_OT_preview_views, MVDREAM_OT_new_seed, MVDREAM_OT_use_seed)
