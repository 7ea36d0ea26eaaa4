# SPDX-License-Identifier: GPL-3.0-or-later
"""Download, cancel, remove: what is done to models. It goes on beside everything else."""

from collections.abc import Callable

import bpy

from .. import runtime
from ..console import told
from ..errors import MVDreamError
from ..library import LIST, Library


class _ModelOperator:
    """What they share: which model is meant."""

    name: bpy.props.StringProperty(
        name="Model",
        description="Name of the model",
        search=lambda self, _context, _text: self.names(),
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return runtime.peek() is not None

    @staticmethod
    def names() -> list[str]:
        """Those that it makes sense for."""
        raise NotImplementedError

    def ask(self, context: bpy.types.Context) -> set[str]:
        """From the operator search: which one? Without a window the first."""
        if names := self.names():
            self.name = names[0]
        return context.window_manager.invoke_props_dialog(self)

    def begin(self, start: Callable[[Library], None], news: Callable[[Library], object]) -> set[str]:
        """Start; without a window also see it through."""
        library = runtime.session().library
        try:
            if not self.name:
                choices = ", ".join(self.names()) or "there is none"
                raise MVDreamError(f"Say which model, by its name: {choices}.")
            start(library)
            if bpy.app.background:
                runtime.finish_model(self.name, news=lambda: news(library))
            else:
                runtime.pump()
        except MVDreamError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class MVDREAM_OT_download_model(_ModelOperator, bpy.types.Operator):
    """Fetch a published model, some GB, and make it ready for use. An interrupted download goes on"""

    bl_idname = "mvdream.download_model"
    bl_label = "Download Model"

    half: bpy.props.BoolProperty(
        name="16 Bit", description="Keep 16-bit weights: half the size on the disk", options={"SKIP_SAVE"}
    )

    @staticmethod
    def names() -> list[str]:
        models = runtime.session().library.models
        return [model.name for model in models if model.downloadable]

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return self.execute(context) if self.name else self.ask(context)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        with told() as progress:
            return self.begin(
                lambda library: library.download(self.name, self.half),
                lambda library: (job := library.download_of(self.name)) and progress(job),
            )


class MVDREAM_OT_cancel_download(_ModelOperator, bpy.types.Operator):
    """Stop the download of a model. What has come stays, and the next download goes on from there"""

    bl_idname = "mvdream.cancel_download"
    bl_label = "Cancel Download"

    @staticmethod
    def names() -> list[str]:
        library = runtime.session().library
        return [model.name for model in library.models if library.download_of(model.name)]

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return self.execute(context) if self.name else self.ask(context)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        library = runtime.session().library
        if library.download_of(self.name) is None:
            self.report({"ERROR"}, f"There is no download of a model {self.name!r}.")
            return {"CANCELLED"}
        library.cancel(self.name)
        if not bpy.app.background:
            runtime.pump()
        return {"FINISHED"}


class MVDREAM_OT_remove_model(_ModelOperator, bpy.types.Operator):
    """Delete a model, or what there is of its download, from the disk"""

    bl_idname = "mvdream.remove_model"
    bl_label = "Remove Model"

    @staticmethod
    def names() -> list[str]:
        return [model.name for model in runtime.session().library.models if model.removable]

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event) if self.name else self.ask(context)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        return self.begin(lambda library: library.remove(self.name), lambda library: None)


class MVDREAM_OT_refresh_models(bpy.types.Operator):
    """Look again which models there are"""

    bl_idname = "mvdream.refresh_models"
    bl_label = "Refresh Models"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return runtime.peek() is not None

    def execute(self, _context: bpy.types.Context) -> set[str]:
        runtime.session().library.refresh()
        if not bpy.app.background:
            runtime.pump()
            return {"FINISHED"}
        try:
            runtime.finish_model(LIST)
        except MVDreamError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (
    MVDREAM_OT_download_model,
    MVDREAM_OT_cancel_download,
    MVDREAM_OT_remove_model,
    MVDREAM_OT_refresh_models,
)
