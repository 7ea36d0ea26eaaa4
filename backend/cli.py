# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: runs a subcommand, and turns what went wrong into a sentence and an exit code.

Exit codes: 0 done, 1 a fault of the program, 2 a mistake in the input or the surroundings, 130 stopped by
the user.
Nothing heavy is imported here or by a command module: those import what they need in their `run`.
"""

import contextlib
import importlib
import logging
import shutil
import sys
import textwrap
from collections.abc import Sequence

from backend import __version__
from backend.commands.parser import Parser
from backend.errors import Cancelled, UserError
from backend.gpu_memory import keep_little
from backend.threads import share_cores

COMMANDS = ("generate", "views", "serve", "train", "evaluate", "convert", "doctor", "models")

EXIT_FAULT = 1
EXIT_USER = 2
EXIT_CANCELLED = 130

log = logging.getLogger("backend")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `argv` (without the program's name; None: the process's own) and returns the exit code."""
    arguments = build_parser().parse_quoted(argv)
    share_cores()
    keep_little()
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s" if arguments.verbose else "%(message)s",
    )
    # PyTorch does so itself, but not where Ctrl-C ends its import; then it tells of its caches at the end.
    logging.getLogger("torch").setLevel(logging.WARNING)
    if arguments.verbose:
        _quiet_others()
    try:
        return int(arguments.run(arguments))
    except UserError as error:
        return _complain(str(error), EXIT_USER)
    except (Cancelled, KeyboardInterrupt) as stop:
        return _complain(str(stop) or "Stopped.", EXIT_CANCELLED)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "backend":
            log.exception("A part of the backend is missing")
            return EXIT_FAULT
        message = f"The Python package {error.name!r} is missing in {sys.executable}."
        return _complain(
            f"{message} `python3 build.py env` makes an environment that has all of them.", EXIT_USER
        )
    except Exception:
        log.exception("This should not have happened")
        return EXIT_FAULT


def build_parser() -> Parser:
    """The parser with all subcommands; every subcommand sets `run` in the parsed arguments."""
    parser = Parser(
        prog="python -m backend", description="Text to textured mesh through multi-view score distillation."
    )
    parser.add_argument("--version", action="version", version=f"mvdream-blender backend {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log details, with times")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"backend.commands.{name}")
        module.add_parser(subparsers)
        # The command's function is bound here, so that a command module has nothing to remember.
        subparsers.choices[name].set_defaults(run=module.run)
    return parser


def _quiet_others() -> None:
    """Verbose means this program's details, not every HTTP request and file lock of the libraries."""
    for name in ("asyncio", "filelock", "httpcore2", "httpx2", "huggingface_hub", "PIL", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _complain(message: str, code: int) -> int:
    """One line; for a person at a terminal as many as it takes."""
    text = " ".join(message.split())
    if sys.stderr.isatty():
        width = max(shutil.get_terminal_size().columns, 40)
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
    with contextlib.suppress(OSError):  # the terminal may be closed
        sys.stderr.write(f"{text}\n")
    return code
