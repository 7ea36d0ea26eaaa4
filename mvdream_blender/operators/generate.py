# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt becomes an object."""

import bpy

from .. import runtime
from ..console import told
from ..errors import Cancelled, MVDreamError
from ..job_settings import mesh_settings
from ..models import AUTO
from ..presets import DEFAULT_PRESET, LARGEST_SEED


class MVDREAM_OT_generate(bpy.types.Operator):
    """Make a textured object from the prompt. The window stays free while it is made"""

    bl_idname = "mvdream.generate"
    bl_label = "Generate"
    # Without UNDO: placing the object is the one step, and the redo panel must not start a second job.
    bl_options = {"REGISTER"}

    prompt: bpy.props.StringProperty(name="Prompt", options={"SKIP_SAVE"})
    negative_prompt: bpy.props.StringProperty(name="Negative Prompt", options={"SKIP_SAVE"})
    seed: bpy.props.IntProperty(name="Seed", min=0, max=LARGEST_SEED, options={"SKIP_SAVE"})
    # Plain texts: the backend knows which presets and models there are, and says so.
    preset: bpy.props.StringProperty(name="Preset", default=DEFAULT_PRESET, options={"SKIP_SAVE"})
    model: bpy.props.StringProperty(name="Model", default=AUTO, options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """From a button or the operator search: what the panel says, where the caller says nothing."""
        inputs = context.scene.mvdream
        for name in ("prompt", "negative_prompt", "seed", "preset", "model"):
            if not self.properties.is_property_set(name):
                setattr(self, name, getattr(inputs, name))
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self._start(context)
        except MVDreamError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def _start(self, context: bpy.types.Context) -> None:
        settings = mesh_settings(self.prompt, self.negative_prompt, self.seed, self.preset, self.model)
        session = runtime.session()
        session.generate(settings, runtime.place(context))
        if not bpy.app.background:
            runtime.pump()
            return
        # Without a window timers never fire, and a script wants the object when the call returns.
        try:
            with told() as progress:
                runtime.finish(news=lambda: session.job and progress(session.job))
        except Cancelled:
            raise MVDreamError("The job was cancelled.") from None
