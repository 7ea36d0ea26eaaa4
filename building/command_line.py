# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of build.py, and how what goes wrong becomes a sentence and an exit code.

Exit codes: 0 done, 1 a test failed, 2 a mistake in the input or something missing on this machine, 130
stopped by the user.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from backend.cli import COMMANDS
from backend.commands.parser import Parser
from building import children, faults
from building.console import say
from building.environments import ALL, BACKEND, BLENDERS, DEFAULT_BLENDER, Environment
from building.errors import BuildError

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

EXIT_FAILED = 1
EXIT_USER = 2
EXIT_STOPPED = 130
LARGEST_SEED = 2**31 - 1


def main(argv: Sequence[str]) -> int:
    """Runs `argv` (without the program's name) and returns the exit code."""
    arguments = parse(argv)
    children.stop_on_signals()
    try:
        return int(arguments.run(arguments))
    except BuildError as error:
        sys.stdout.flush()
        sys.stderr.write(f"{error}\n")
        return EXIT_USER
    except BrokenPipeError:
        # Whoever read the output has gone (`build.py env | head`). What is buffered can't be written either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        sys.stdout.flush()
        sys.stderr.write(f"{faults.anywhere(error)}\n")
        return EXIT_USER
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        return EXIT_STOPPED


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The parsed command line; every command sets `run`."""
    parser = Parser(prog="build.py", description="Makes, shows, tests and packs MVDream for Blender.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_env(commands)
    _add_demo(commands)
    _add_test(commands)
    _add_zip(commands)
    _add_python(commands)
    _point_to_backend(parser, argv)
    own, handed_on = split(list(argv))
    arguments = parser.parse_quoted(own)
    arguments.handed_on = handed_on
    return arguments


def _point_to_backend(parser: Parser, argv: Sequence[str]) -> None:
    """Ends with a sentence where a command of the backend is asked for here."""
    if argv and argv[0] in COMMANDS:
        line = shlex.join(["python3", "build.py", "python", "-m", "backend", *argv])
        parser.error(f"{argv[0]!r} is a command of the backend: `{line}`.")


def split(argv: list[str]) -> tuple[list[str], list[str]]:
    """What is build.py's own, and what is handed on to pytest or Python: argparse would read that, too."""
    if argv[:1] == ["test"] and "--" in argv:
        dashes = argv.index("--")
        return argv[:dashes], argv[dashes + 1 :]
    if argv[:1] == ["python"]:
        end = 1
        if argv[1:2] == ["--blender"]:
            end = 3 if argv[2:3] and re.fullmatch(r"\d+\.\d+", argv[2]) else 2
        elif argv[1:2] and (argv[1].startswith("--blender=") or argv[1] in ("-h", "--help")):
            end = 2
        return argv[:end], argv[end:]
    return argv, []


def _add_env(commands: "Commands") -> None:
    text = "Makes the environments in the user's cache folder; checkouts with the same lock files share them."
    parser = commands.add_parser("env", help="make the environments", description=text)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which: {', '.join(ALL)} (default: what `demo` needs)"
    )
    parser.add_argument(
        "--all", action="store_true", help="all that this machine can have, as `test` needs them"
    )
    parser.add_argument("--again", action="store_true", help="make them anew even if they are complete")
    parser.add_argument(
        "--system-packages", action="store_true", help="only print the system packages that are missing"
    )
    parser.set_defaults(run=_env)


def _env(arguments: argparse.Namespace) -> int:
    from building import suites, system_packages
    from building.installation import ensure

    if arguments.system_packages:
        missing = [*system_packages.missing_for_python(BACKEND.python), *system_packages.missing()]
        for package in missing:
            say(package)
        if not missing:
            # Not among the packages: those may be handed on to apt-get.
            sys.stderr.write("No system packages are missing.\n")
        return 0
    unknown = [name for name in arguments.names if name not in ALL]
    if unknown:
        raise BuildError(f"There is no environment {unknown[0]!r}. Environments: {', '.join(ALL)}.")
    if arguments.all:
        chosen, skipped = suites.available()
        for reason in skipped:
            say(reason)
    else:
        chosen = [ALL[name] for name in arguments.names] or [BACKEND, BLENDERS[DEFAULT_BLENDER]]
    for environment in chosen:
        say(f"{environment.name}: {ensure(environment, arguments.again)}")
    return 0


def _add_demo(commands: "Commands") -> None:
    text = (
        "Makes an object from a prompt as a user's script in Blender would, and pictures of it from 8 sides."
    )
    parser = commands.add_parser("demo", help="make an object from a prompt", description=text)
    parser.add_argument("prompt", metavar="PROMPT", help='what to make, such as "a red mug"')
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the results (default: out/ and the prompt)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another seed, another object (default: 0)"
    )
    parser.add_argument(
        "--preset", default="standard", metavar="P", help="draft or standard (default: standard)"
    )
    parser.add_argument(
        "--blender",
        default=DEFAULT_BLENDER,
        metavar="V",
        help=f"{', '.join(BLENDERS)} (default: {DEFAULT_BLENDER})",
    )
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from building import demo

    if not arguments.prompt.strip():
        raise BuildError('The prompt is empty: say what to make, for example "a red mug".')
    if not 0 <= arguments.seed <= LARGEST_SEED:
        raise BuildError(f"The seed must be between 0 and {LARGEST_SEED}; {arguments.seed} was given.")
    demo.run(arguments.prompt, arguments.seed, arguments.preset, arguments.out, _blender(arguments.blender))
    return 0


def _add_test(commands: "Commands") -> None:
    text = (
        "Runs all checks: lint, types, the backend's tests, the add-on's tests in every Blender. "
        "With arguments for pytest only tests run, and paths among them choose which: "
        "`build.py test -- tests/backend -k cameras`. "
        "Tests marked slow, gpu or gui are left out; `-- -m slow` runs those."
    )
    parser = commands.add_parser(
        "test", help="run all checks", description=text, usage="build.py test [-- pytest args]"
    )
    parser.set_defaults(run=_test)


def _test(arguments: argparse.Namespace) -> int:
    from building import checks

    return checks.run(arguments.handed_on)


def _add_zip(commands: "Commands") -> None:
    text = "Builds dist/mvdream_blender-<version>.zip and validates it with Blender's own extension tool."
    commands.add_parser("zip", help="build the extension", description=text).set_defaults(run=_zip)


def _zip(_arguments: argparse.Namespace) -> int:
    from building import extension
    from building.installation import ensure

    file = extension.build(ensure(BLENDERS[DEFAULT_BLENDER]))
    say(f"{file} ({file.stat().st_size / 2**20:.1f} MB)")
    return 0


def _add_python(commands: "Commands") -> None:
    text = "Runs the backend environment's Python, where you are: `build.py python -m backend --help`."
    parser = commands.add_parser(
        "python",
        help="run the environment's Python",
        description=text,
        usage="build.py python [--blender [V]] [ARGS ...]",
    )
    parser.add_argument(
        "--blender",
        nargs="?",
        const=DEFAULT_BLENDER,
        metavar="V",
        help=f"run that of Blender as a module: {', '.join(BLENDERS)} (default: {DEFAULT_BLENDER})",
    )
    parser.set_defaults(run=_python)


def _python(arguments: argparse.Namespace) -> int:
    from building.installation import ensure
    from building.layout import ROOT

    environment = BACKEND if arguments.blender is None else _blender(arguments.blender)
    # The packages of this checkout are found from any folder.
    surroundings = children.environment({"PYTHONPATH": str(ROOT)})
    python = str(ensure(environment))
    try:
        code = children.code_of([python, *arguments.handed_on], env=surroundings)
    except KeyboardInterrupt:
        # It was stopped, too, and has said so.
        return EXIT_STOPPED
    return 128 - code if code < 0 else code  # a signal's number, as shells have it


def _blender(version: str) -> Environment:
    if version not in BLENDERS:
        raise BuildError(f"There is no environment for Blender {version!r}. Versions: {', '.join(BLENDERS)}.")
    return BLENDERS[version]
