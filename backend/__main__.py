# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend`."""

import sys

if __name__ == "__main__":
    try:
        from backend.cli import main

        code = main()
    except KeyboardInterrupt:  # while modules are imported, or a second one
        sys.stderr.write("Stopped.\n")
        code = 130
    sys.exit(code)
