#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door for a newcomer: environments, demo, tests, the extension zip. `python3 build.py --help` tells.

Any Python from 3.7 on can start it: where that is older than 3.11 it hands over to one that is not.
"""

import os
import sys

WANTED = (3, 11)


def main():
    if sys.version_info < (3, 7):  # noqa: UP036 (it is for those who have it)
        sys.exit("build.py needs Python 3.11: run it with python3.11.")
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    if sys.version_info < WANTED:
        _hand_over()
    from building.command_line import main as run

    sys.exit(run(sys.argv[1:]))


def _hand_over():
    """Starts this again with a newer Python; never returns."""
    import subprocess

    from building import interpreters

    found = interpreters.find(WANTED)
    if found is None:
        sys.stderr.write(interpreters.missing(WANTED, None) + "\n")
        sys.exit(2)
    command = [found.path, os.path.abspath(__file__)] + sys.argv[1:]  # noqa: RUF005
    if sys.platform == "win32":  # there, exec gives the prompt back to the terminal at once
        sys.exit(subprocess.call(command))
    os.execv(found.path, command)


if __name__ == "__main__":
    main()
