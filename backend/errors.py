# SPDX-License-Identifier: GPL-3.0-or-later
"""Exceptions that mean something to the person at the other end."""


class UserError(Exception):
    """A mistake in the input or the surroundings.

    The message names it and the way out; it is shown without a traceback.
    """


class Cancelled(Exception):
    """The user stopped the job. Nothing is wrong, and what was checkpointed stays."""
