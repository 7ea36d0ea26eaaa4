# SPDX-License-Identifier: GPL-3.0-or-later
"""The exception that means something to the person at the terminal."""


class BuildError(Exception):
    """What is missing or wrong on this machine, and the way out. Shown without a traceback, exit code 2."""
