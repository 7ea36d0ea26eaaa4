# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend evaluate`: held-out prompts, measured against Blender's renders of the truth."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.commands.recipe_options import add_recipe_options, recipe_values

if TYPE_CHECKING:
    from backend.evaluation.heldout import Reference
    from backend.evaluation.runs import Finished, Task

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model on held-out prompts",
        description="Make the held-out prompts and measure kind, colours, front, floaters, breaks and time. "
        "Writes table.md, results.json and the contact sheet sheet.png.",
    )
    parser.add_argument(
        "--model", default="small", help="name of a model, or the folder of one (default: small)"
    )
    parser.add_argument("--prompts", type=int, default=None, metavar="N", help="only N of the prompts")
    parser.add_argument("--seed", type=int, default=0, help="of every prompt (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/evaluation"),
        metavar="DIR",
        help="where to write (default: out/evaluation)",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="prompts made at once (default: 1)")
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="score the meshes DIR/<prompt's folder>/mesh.glb of an earlier run and make none",
    )
    parser.add_argument("--heldout", type=Path, default=None, metavar="DIR", help="other references")
    add_recipe_options(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate. Raises UserError for what can't be read, written or chosen."""
    import json

    from backend.errors import UserError
    from backend.evaluation.heldout import FOLDER, load_heldout
    from backend.evaluation.report import as_json, as_markdown, summarize
    from backend.evaluation.runs import Task, choose
    from backend.evaluation.sheet import contact_sheet

    if args.jobs < 1:
        raise UserError(f"--jobs must be at least 1; {args.jobs} was given.")
    if args.source is not None and not args.source.is_dir():
        raise UserError(f"There is no folder {args.source} to take meshes from.")
    folder = args.heldout or FOLDER
    everything = load_heldout(folder)
    references = everything.references
    if args.prompts is not None:
        references = tuple(choose(references, args.prompts))
    settings = None if args.source is not None else _settings(args)
    _prepare(args.out)
    source = args.source or args.out
    tasks = [
        Task(folder / ref.slug, folder, source / ref.slug, settings and {**settings, "prompt": ref.prompt})
        for ref in references
    ]
    finished = _measure(tasks, references, args)
    ordered = [finished[ref.slug] for ref in references]
    scores = [result.score for result in ordered]
    about = _about(args, settings)
    _write(args.out / "results.json", json.dumps(as_json(scores, about), indent=1))
    _write(args.out / "table.md", as_markdown(scores, about))
    rows = [(ref, result.score, result.views) for ref, result in zip(references, ordered, strict=True)]
    contact_sheet(rows).save(args.out / "sheet.png")
    for line in summarize(scores).lines():
        print(line)  # noqa: T201
    print(f"{args.out}: table.md, results.json, sheet.png")  # noqa: T201
    return 0


def _measure(
    tasks: Sequence[Task], references: Sequence[Reference], args: argparse.Namespace
) -> dict[str, Finished]:
    """The results by slug, told as they come. Raises Cancelled where a signal leaves some meshes."""
    import time
    from contextlib import closing

    from backend.commands.interruption import being_told_to_end_is_ctrl_c
    from backend.errors import Cancelled
    from backend.evaluation.runs import run_all

    finished: dict[str, Finished] = {}
    making = args.source is None  # meshes that are there take no time to speak of
    jobs, started = min(args.jobs, len(tasks)), time.monotonic()

    def tell(reference: Reference) -> None:
        if making:
            print(f"{reference.prompt}: begun", flush=True)  # noqa: T201

    try:
        with being_told_to_end_is_ctrl_c(), closing(run_all(tasks, references, jobs, tell)) as results:
            for result in results:
                finished[result.score.slug] = result
                left = _left(len(finished), len(tasks), jobs, time.monotonic() - started) if making else ""
                print(_line(len(finished), len(tasks), result) + left, flush=True)  # noqa: T201
    except KeyboardInterrupt:
        if not finished or not making:
            raise
        raise Cancelled(f"Stopped. --from {args.out} scores the meshes that are finished.") from None
    return finished


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """The settings all prompts share, checked once before anything starts."""
    from backend.commands.option_names import options_named
    from backend.devices import pick_device
    from backend.diffusion.registry import entry, resolve
    from backend.settings import GenerateSettings

    values = {name: getattr(args, name) for name in ("model", "seed", "device")} | recipe_values(args)
    with options_named(GenerateSettings.model_fields):
        settings = GenerateSettings.from_values({**values, "prompt": "a red mug"})
    folder = resolve(values["model"])
    model = entry(folder.name, folder)
    model.recipe(settings, "cpu")  # where the most is asked for
    pick_device(settings.device)  # raises, where each prompt would
    return values


def _about(args: argparse.Namespace, settings: dict[str, Any] | None) -> dict[str, Any]:
    if settings is None:
        return {"meshes": str(args.source)}
    return {**settings, "jobs": args.jobs}


def _line(done: int, total: int, result: Finished) -> str:
    from backend.evaluation.report import faults

    score = result.score
    wrong = "; ".join(faults(score)) or "right"
    seconds = "" if score.seconds is None else f", {score.seconds:.1f} s"
    return f"{done}/{total} {score.prompt}: IoU {score.iou:.3f}{seconds}, {wrong}"


def _left(done: int, total: int, jobs: int, elapsed: float) -> str:
    """How long the rest takes, as one is just done and the others under way may be half done."""
    from backend.commands.progress_bar import format_seconds

    if done == total:
        return ""
    done_in_all = done + (min(jobs, total - done + 1) - 1) / 2
    each = elapsed * jobs / done_in_all
    # At the end not all have something to do, and the last may have just begun.
    return f", {format_seconds(each * max((total - done_in_all) / jobs, 1))} left"


def _prepare(out: Path) -> None:
    from backend.errors import UserError

    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"Nothing can be written to {out}: {error.strerror}. Choose another --out."
        ) from error


def _write(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
