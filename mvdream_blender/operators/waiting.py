# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators that start long work share: a timer drives it in a window, a loop without one."""

from collections.abc import Callable

import bpy

from .. import runtime
from ..errors import MVDreamError
from ..session import Session


def may_begin(operator: type[bpy.types.Operator]) -> bool:
    """Whether nothing is under way; else the reason is noted for the button's tip and for scripts."""
    session = runtime.peek()
    if session is None:
        operator.poll_message_set("The MVDream add-on is not enabled.")
        return False
    if session.busy:
        operator.poll_message_set("MVDream is busy: wait for what is under way, or cancel it first.")
        return False
    return True


def begin(
    operator: bpy.types.Operator,
    start: Callable[[Session], None],
    news: Callable[[Session], object] = lambda session: None,
) -> set[str]:
    """Start work in the session; without a window also see it through.

    Args:
        start: starts the work; may raise MVDreamError.
        news: called without a window when there is something to show.

    Returns:
        The operator's result; an error has been reported (in a script: RuntimeError with the message).
    """
    session = runtime.session()
    try:
        start(session)
        if bpy.app.background:
            runtime.finish(news=lambda: news(session))
        else:
            runtime.pump()
    except MVDreamError as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    return {"FINISHED"}
