# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancel what is under way; pick up or forget a job that was left behind."""

import bpy

from .. import runtime
from ..errors import MVDreamError
from ..pending import PendingJob
from .waiting import begin, may_begin


class MVDREAM_OT_cancel(bpy.types.Operator):
    """Stop what MVDream is doing"""

    bl_idname = "mvdream.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        session = runtime.peek()
        if session is None or not session.busy:
            cls.poll_message_set("There is nothing to cancel: MVDream is doing nothing.")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        runtime.session().cancel()
        if not bpy.app.background:
            runtime.pump()
        return {"FINISHED"}


class _UnfinishedOperator:
    """What the two operators on unfinished jobs share: which job is meant."""

    job: bpy.props.StringProperty(name="Job", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if not may_begin(cls):
            return False
        session = runtime.peek()
        if session is None or not session.unfinished:
            cls.poll_message_set("There is no unfinished job.")
            return False
        return True

    def chosen(self) -> PendingJob:
        """The job that was named, else the newest."""
        unfinished = runtime.session().unfinished
        found = next((pending for pending in unfinished if pending.id == self.job or not self.job), None)
        if found is None:
            raise MVDreamError(f"There is no unfinished job {self.job!r}.")
        return found


class MVDREAM_OT_resume(_UnfinishedOperator, bpy.types.Operator):
    """Go on with an unfinished job and put its object into the scene"""

    bl_idname = "mvdream.resume"
    bl_label = "Resume"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        return begin(self, lambda session: session.pick_up(self.chosen()))


class MVDREAM_OT_forget(_UnfinishedOperator, bpy.types.Operator):
    """Stop an unfinished job and delete what there is of it"""

    bl_idname = "mvdream.forget"
    bl_label = "Discard"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        return begin(self, lambda session: session.forget(self.chosen()))


CLASSES = (MVDREAM_OT_cancel, MVDREAM_OT_resume, MVDREAM_OT_forget)
