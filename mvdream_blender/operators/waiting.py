# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators that start long work share: a timer drives it in a window, a loop without one."""

from collections.abc import Callable

import bpy

from .. import runtime
from ..errors import MVDreamError
from ..session import Session


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
