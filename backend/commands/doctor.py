# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend doctor`: what this machine has, what is missing, and what to do about it."""

import argparse

EXIT_NOT_USABLE = 2


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `doctor` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="say what this machine has and what is missing",
        description="Looks at devices, memory, disks, packages and models, and says what to do about what is "
        "missing. Exit code 0: an object can be made here; 2: it can't.",
    )
    parser.add_argument("--json", action="store_true", help="for programs; sizes are in bytes")


def run(arguments: argparse.Namespace) -> int:
    """Examines this machine and prints the report."""
    import json
    import sys

    from backend.doctor import examine
    from backend.doctor.text import render

    report = examine()
    text = json.dumps(report.to_dict(), indent=1) + "\n" if arguments.json else render(report)
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    return 0 if report.usable else EXIT_NOT_USABLE
