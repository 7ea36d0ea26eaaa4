# SPDX-License-Identifier: GPL-3.0-or-later
"""From a prompt to a picture of its views: what the model makes of the words, before minutes go into 3D."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cameras import conditioning, orbit_views
from backend.default_model import pick_model
from backend.devices import pick_device, pick_dtype, pick_part_dtypes
from backend.diffusion.registry import entry, resolve
from backend.diffusion.sampler import (
    DECODED_AT_ONCE,
    Sampler,
    before_colour,
    decode,
    draw_noise,
    plain_latent,
)
from backend.errors import Cancelled, UserError
from backend.heap import keep_freed
from backend.memory.planning import plan_sampling
from backend.pacing import Pacer, Report
from backend.prompts import check_words_for
from backend.spinning import spinning_while_alone
from backend.view_pictures import Facts, ViewSet, write_sheet, write_views
from backend.views_settings import ViewsSettings
from backend.workplace import prepare_folder, write_text

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from backend.diffusion.model import MultiViewDiffusion

PICTURE, SETTINGS = "views.png", "settings.json"
SAMPLING_SCALE = 7.5
"""Guidance that suits pictures (MVDream's own sampling); what distillation wants of a model is more."""
GREY = (0.5, 0.5, 0.5)
STAGES = {"load": 0.3, "sample": 0.69, "save": 0.01}
"""Shares of the job's time, in order, for the bar alone."""


@dataclass(frozen=True)
class ViewsResult:
    """What a finished preview left in its folder.

    Args:
        picture: all views, a row for each set; within it the azimuth grows from left to right.
        separate: one file a view, where asked for, in the same order.
        seconds: time of each stage.
    """

    picture: Path
    separate: tuple[Path, ...]
    seconds: dict[str, float]


@spinning_while_alone()
def sample_views(
    settings: ViewsSettings,
    folder: Path,
    report: Report | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> ViewsResult:
    """Samples the views of a prompt.

    Args:
        settings: what to sample and how.
        folder: gets views.png, after every set anew, and settings.json; with `separate` also
            view-AZIMUTH.png, or view-SEED-AZIMUTH.png where there are several sets.
        report: called with Progress, at least once a step.
        cancelled: asked once a step.

    Raises:
        UserError: the folder, the model, the device or a word of the prompt is at fault, or memory is
            short.
        Cancelled: `cancelled` said so.
    """
    keep_freed()
    pace = Pacer(report, stages=STAGES)
    device = pick_device(settings.device)
    folder = prepare_folder(Path(folder))
    write_text(folder / SETTINGS, settings.model_dump_json(indent=1, exclude_none=True))
    pace("load", message="Loading the model")
    sampling = _Sampling(settings, device)
    pace("load", 1, 1, "Loading the model")
    done, steps = 0, settings.count * settings.steps
    pace("sample", 0, steps, "Sampling views")

    def on_step(step: int, of: int) -> None:
        if cancelled():
            raise Cancelled
        pace("sample", done + step, steps, "Sampling views")

    sets: list[ViewSet] = []
    separate: list[Path] = []
    for made in sampling.sets(on_step):
        sets.append(made)
        done += settings.steps
        write_sheet(folder / PICTURE, sets, sampling.facts)
        if settings.separate:
            separate += write_views(folder, made, sampling.facts, name_seed=settings.count > 1)
        pace("sample", done, steps, "Sampling views", PICTURE)
    pace("save", 1, 1, "Done")
    return ViewsResult(folder / PICTURE, tuple(separate), pace.seconds)


class _Sampling:
    """The model of one job, its prompts encoded."""

    def __init__(self, settings: ViewsSettings, device: torch.device) -> None:
        from backend.diffusion.storage import load

        name = pick_model(settings.model, device.type)
        folder = resolve(name)
        config = entry(name, folder).config
        settings.check_for(config)
        check_words_for(name, settings.prompt, settings.negative_prompt)
        dtype = pick_dtype(device, config.image_size, settings.precision)
        self.settings = settings
        self.at_once = plan_sampling(folder, config, device, dtype, DECODED_AT_ONCE)
        dtypes = pick_part_dtypes(device, dtype, settings.precision)
        parts = ("unet", "vae", "text")
        self.model: MultiViewDiffusion = load(name, device, dtype, parts, dtypes, lean=True)
        negative = config.negative_prompt if settings.negative_prompt is None else settings.negative_prompt
        contexts = self.model.encode_prompts([settings.prompt + config.caption_suffix, negative])
        self.context, self.negative = contexts[:, None].expand(-1, config.views, -1, -1)
        self.model.drop_text_encoder()
        scale = settings.guidance_scale
        if scale is None:
            scale = min(SAMPLING_SCALE, config.guidance_scale)
        self.sampler = Sampler(settings.steps, scale, settings.guidance_rescale, settings.solver)
        self.facts: Facts = {"prompt": settings.prompt, "model": name}

    def sets(self, on_step: Callable[[int, int], None]) -> Iterator[ViewSet]:
        """The sets one after the other: each is what its seed gives alone, to the last bit."""
        model, settings = self.model, self.settings
        # The model sees the camera's direction only, so distance and field of view are any.
        views = orbit_views(model.config.views, settings.elevation, 1.0, 40.0, model.device, settings.azimuth)
        camera = conditioning(views.c2w)
        azimuths = tuple(round(azimuth) % 360 for azimuth in views.azimuth.tolist())
        for seed in range(settings.seed, settings.seed + settings.count):
            noise, background = draw_noise(model, seed), None
            if settings.background == "grey":
                noise, background = before_colour(model, noise, GREY), plain_latent(model, GREY)
            latents = self.sampler(model, noise, self.context, self.negative, camera, on_step, background)
            images = decode(model, latents, self.at_once)
            self._require_finite(images)
            yield ViewSet(seed, azimuths, _pixels(images))

    def _require_finite(self, images: Tensor) -> None:
        """Of a network that overflowed there would be black pictures, and no word."""
        if not bool(images.isfinite().all()):
            raise UserError(
                f"The model {self.facts['model']} answered with values that are not finite (NaN or infinity),"
                " of which no picture can be made. Set precision to fp32; if that changes nothing, remove the"
                " model, and download or convert it again."
            )


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    return (images * 255).round().byte().cpu().numpy()
