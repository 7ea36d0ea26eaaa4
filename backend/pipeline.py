# SPDX-License-Identifier: GPL-3.0-or-later
"""From a prompt to a textured mesh: the whole story (MVDream, section 3.3 and 4.2)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from backend import __version__
from backend.checkpoint import find_checkpoint
from backend.default_model import pick_model
from backend.devices import make_current, pick_device, pick_dtype, pick_part_dtypes
from backend.diffusion.registry import entry, resolve
from backend.errors import Cancelled
from backend.heap import keep_freed
from backend.kernel_switch import VARIABLE, kernels_allowed
from backend.pacing import Pacer, Report
from backend.preview import write_preview
from backend.prompts import check_words_for
from backend.settings import GenerateSettings, Numbers
from backend.spinning import spinning_while_alone
from backend.workplace import prepare_folder, write_text

if TYPE_CHECKING:
    import torch

    from backend import mesh as meshing
    from backend.diffusion.model import MultiViewDiffusion
    from backend.distillation import Distillation

MESH, PREVIEW, SETTINGS, CHECKPOINT = "mesh.glb", "preview.png", "settings.json", "checkpoint.safetensors"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a finished job left in its folder.

    Args:
        mesh: the GLB file.
        preview: a picture of the field.
        faces: triangles of the mesh.
        seconds: time of each stage.
        notes: sentences on what was made smaller than asked for, so that it fits, or will have taken long.
    """

    mesh: Path
    preview: Path
    faces: int
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@spinning_while_alone()
def generate(
    settings: GenerateSettings,
    folder: Path,
    report: Report | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Result:
    """Makes the object of a prompt.

    Args:
        settings: what to make and how.
        folder: gets mesh.glb, preview.png and settings.json; while it works also a checkpoint
            from which the same call, made again, goes on; one of another call is set beside it.
        report: called with Progress, at least once a step.
        cancelled: asked once a step.

    Raises:
        UserError: the folder, the model, the device or a word of the prompt is at fault.
        Cancelled: `cancelled` said so. A checkpoint of this very step stays.
    """
    keep_freed()
    pace = Pacer(report)
    device = pick_device(settings.device)
    folder = prepare_folder(Path(folder))

    pace("load", message="Loading the model")
    distillation, identity, notes = _start(settings, device, pace)
    find_checkpoint(folder / CHECKPOINT, identity)
    write_text(folder / SETTINGS, settings.model_dump_json(indent=1, exclude_none=True))
    numbers = distillation.numbers
    if numbers.start != "views":
        pace.leave_out("sample", "fit")
    resumed = distillation.resume(folder / CHECKPOINT, identity)
    if _compiles(settings, device):
        pace("load", message="Compiling the networks: minutes, if it was not done before")
        distillation.warm_up(cancelled)
    if resumed:
        log.info("Going on from step %d.", distillation.step_number)
    elif numbers.start == "views":
        distillation.note = _sample_start(distillation, pace, cancelled)
    if distillation.note:
        notes += (distillation.note,)

    _distil(distillation, folder, identity, pace, cancelled)
    mesh = _extract(distillation, numbers, pace, cancelled)
    mesh = _texture(distillation, mesh, numbers, pace)

    from backend import mesh as meshing

    pace("save", message="Writing the mesh")
    extras = {
        "prompt": settings.prompt,
        "seed": settings.seed,
        "model": distillation.guidance.model.config.name,
        "preset": settings.preset,
        **({"notes": " ".join(notes)} if notes else {}),
    }
    meshing.write_glb(folder / MESH, mesh, settings.prompt, extras)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    pace("save", 1, 1, "Done")
    return Result(folder / MESH, folder / PREVIEW, len(mesh.faces), dict(pace.seconds), notes)


def _start(
    settings: GenerateSettings, device: torch.device, pace: Pacer
) -> tuple[Distillation, str, tuple[str, ...]]:
    """Loads the model, encodes the prompts once, and lets the text encoder go.

    Returns what will be optimised, the job's identity for checkpoints, and sentences for the user: what was
    made smaller for the memory there is, and what will take long.
    """
    from backend.diffusion.storage import load
    from backend.distillation import Distillation
    from backend.memory.planning import plan

    make_current(device)
    name = pick_model(settings.model, device.type)
    check_words_for(name, settings.prompt, settings.negative_prompt)
    folder = resolve(name)
    found = entry(name, folder)
    config = found.config
    asked = found.recipe(settings, device.type)
    dtype = pick_dtype(device, config.image_size, settings.precision)
    compiles = _compiles(settings, device)
    fit = plan(folder, config.image_size, asked, device, dtype, compiles)
    encoding = fit.numbers.encoding_on(device.type)
    notes = *fit.sentences, *_slow(device.type, encoding, settings.precision)
    if settings.compile and not compiles:
        notes += (f"The networks are not compiled: {VARIABLE} is off.",)
    for sentence in notes:
        log.warning("%s", sentence)
    pace("load", message=f"Loading the model {config.name}")
    # Only a start from sampled views needs the image decoder.
    parts = ["unet", "vae" if fit.numbers.start == "views" else "vae_encoder", "text"]
    if fit.numbers.tiny_encoder_until:
        parts.append("tiny_vae")
    dtypes = pick_part_dtypes(device, dtype, settings.precision)
    model: MultiViewDiffusion = load(name, device, dtype, parts, dtypes, lean=True)
    negative = config.negative_prompt if settings.negative_prompt is None else settings.negative_prompt
    context, negative_context = model.encode_prompts([settings.prompt, negative]).split(1)
    model.drop_text_encoder()
    model.accelerate(compiled=_compiled(fit.numbers) if compiles else ())
    distillation = Distillation(model, context, negative_context, fit.numbers, settings.seed)
    return distillation, _identity(settings, folder, settings.resolve(config.image_size)), notes


def _compiles(settings: GenerateSettings, device: torch.device) -> bool:
    """Whether networks are left to torch.compile. On a GPU it makes kernels, too, and these may be off."""
    return settings.compile and (device.type != "cuda" or kernels_allowed())


def _compiled(numbers: Numbers) -> tuple[str, ...]:
    """Names of these networks: not an encoder that no step uses."""
    return ("unet",) if numbers.tiny_encoder_until >= 1 else ("unet", "vae")


def _slow(device_type: str, encoding: str, precision: str) -> tuple[str, ...]:
    """Sentences on what will take long."""
    said: tuple[str, ...] = ()
    if device_type == "cpu" and encoding == "hash":
        said += ("This recipe is made for a GPU: on a processor a step takes minutes.",)
    if device_type == "cpu" and precision == "fp16":
        said += ("Processors are slow at fp16: several times slower than with the precision auto.",)
    return said


def _sample_start(distillation: Distillation, pace: Pacer, cancelled: Callable[[], bool]) -> str:
    """Samples four views and fits the field to them. Takes seconds: when interrupted it is done again.

    Returns a sentence for the user where that failed, otherwise "".
    """
    from backend.start.views import start_from_views

    def tell(stage: str, message: str) -> Callable[[int, int], None]:
        def on_step(done: int, steps: int) -> None:
            if cancelled():
                raise Cancelled
            pace(stage, done, steps, message)

        return on_step

    sampling = "Sampling four views to start from"
    pace("sample", message=sampling)
    fitting = "Fitting a first shape to the views"
    return start_from_views(distillation, tell("sample", sampling), tell("fit", fitting))


def _distil(
    distillation: Distillation,
    folder: Path,
    identity: str,
    pace: Pacer,
    cancelled: Callable[[], bool],
) -> None:
    numbers = distillation.numbers
    steps, message = numbers.steps, "Shaping the object"
    pace("distil", distillation.step_number, steps, message)
    while not distillation.done:
        if cancelled():
            if numbers.checkpoint_every and distillation.step_number:
                distillation.save(folder / CHECKPOINT, identity)
            raise Cancelled
        distillation.step()
        done = distillation.step_number
        preview = None
        if done == steps or (numbers.preview_every and done % numbers.preview_every == 0):
            write_preview(distillation.field, distillation.occupancy, folder / PREVIEW, last=done == steps)
            preview = PREVIEW
        # At the end, too: what interrupts the mesh does not cost steps.
        if numbers.checkpoint_every and (done % numbers.checkpoint_every == 0 or done == steps):
            distillation.save(folder / CHECKPOINT, identity)
        pace("distil", done, steps, message, preview)


def _extract(
    distillation: Distillation, numbers: Numbers, pace: Pacer, cancelled: Callable[[], bool]
) -> meshing.TriMesh:
    from backend import mesh as meshing  # brings SciPy: not before the first step

    field = distillation.field
    pace("mesh", 0, 3, "Finding the surface")
    mesh = meshing.extract(field.density, field.bound, numbers.mesh_resolution, device=distillation.device)
    if cancelled():
        raise Cancelled
    pace("mesh", 1, 3, "Cleaning the surface")
    mesh = meshing.remove_floaters(mesh)
    pace("mesh", 2, 3, "Simplifying the surface")
    return meshing.simplify(mesh, numbers.faces)


def _texture(
    distillation: Distillation, mesh: meshing.TriMesh, numbers: Numbers, pace: Pacer
) -> meshing.TriMesh:
    from backend import mesh as meshing

    field = distillation.field
    pace("texture", 0, 2, "Unwrapping the surface")
    mesh = meshing.unwrap(meshing.with_normals(mesh), numbers.texture_size)
    pace("texture", 1, 2, "Painting the texture")
    reach = (
        4 * field.bound / numbers.mesh_resolution
    )  # two cells: the renderer sees colours just below a soft surface
    places = meshing.visible_points(mesh, field.density, reach, device=distillation.device)
    return meshing.bake(mesh, field.colour, numbers.texture_size, places, distillation.device)


def _identity(settings: GenerateSettings, folder: Path, numbers: Numbers) -> str:
    """A checkpoint may only be continued by a job that would have gone the same way.

    numbers: as they were asked for; what memory and device made of them may differ from start to start.
    """
    weights = sorted(
        (file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in folder.rglob("*.*")
    )
    asked = (settings.prompt, settings.negative_prompt, settings.seed, str(folder), weights)
    text = repr((__version__, asked, numbers))
    return hashlib.sha256(text.encode()).hexdigest()
