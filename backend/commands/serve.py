# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend serve`: the job service that the add-on talks to."""

import argparse
from pathlib import Path


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `serve` to the command line."""
    parser = subparsers.add_parser(
        "serve",
        help="run the job service on this machine",
        description="Runs the job service on 127.0.0.1. Its address and token go to DIR/service.json.",
    )
    parser.add_argument(
        "--data-dir", type=Path, required=True, metavar="DIR", help="where jobs and results are kept"
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port to listen on; 0 (default): the system picks one"
    )
    parser.add_argument(
        "--exit-when-idle",
        type=float,
        metavar="SECONDS",
        help="exit when for so long there was no job and no request",
    )
    parser.add_argument(
        "--discard",
        action="append",
        default=[],
        metavar="JOB",
        help="delete this unfinished job instead of going on with it; may be given several times",
    )
    parser.add_argument(
        "--no-spare",
        action="store_true",
        help="start a job's process only when there is a job: it begins later, but none waits in memory",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serves until stopped."""
    from backend.service.runner import serve

    serve(
        arguments.data_dir,
        port=arguments.port,
        exit_when_idle=arguments.exit_when_idle,
        discard=arguments.discard,
        spare=not arguments.no_spare,
    )
    return 0
