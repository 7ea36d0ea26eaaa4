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
    # All is done and said: from here on Ctrl-C could only add a traceback of the interpreter's own end.
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)
