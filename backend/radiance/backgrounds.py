# SPDX-License-Identifier: GPL-3.0-or-later
"""What rays that hit nothing see."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from backend.radiance.mlp import small_mlp


class Background(nn.Module, ABC):
    """Colours behind the object. In training mode some are random; in eval mode none is."""

    @abstractmethod
    def forward(self, directions: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Colours (V,H,W,3) in 0..1 for unit ray directions (V,H,W,3) of V views."""


def random_colours(
    views: int,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    views_per_colour: int = 1,
) -> Tensor:
    """Uniform colours (views,3) in 0..1; runs of `views_per_colour` neighbours share one."""
    count = -(-views // views_per_colour)
    source = generator.device if generator is not None else device
    colours = torch.rand(count, 3, generator=generator, device=source).to(device)
    return colours.repeat_interleave(views_per_colour, dim=0)[:views]


class FixedBackground(Background):
    """One colour (red, green, blue in 0..1) everywhere."""

    colour: Tensor

    def __init__(self, colour: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> None:
        super().__init__()
        self.register_buffer("colour", torch.tensor(colour), persistent=False)

    def forward(self, directions: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.colour.to(directions.dtype).expand_as(directions)


class RandomBackground(FixedBackground):
    """A new flat colour for each view (or each group of `views_per_colour` views); `colour` in eval mode.

    An object can't hide in a background that never stays.
    """

    def __init__(
        self, views_per_colour: int = 1, colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ) -> None:
        super().__init__(colour)
        self.views_per_colour = views_per_colour

    def forward(self, directions: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if not self.training:
            return super().forward(directions)
        colours = random_colours(directions.shape[0], generator, directions.device, self.views_per_colour)
        return colours.to(directions.dtype)[:, None, None].expand_as(directions)


class LearnedBackground(Background):
    """A small MLP from direction to colour, at times replaced by random flat colours (as in MVDream).

    random_probability: chance that a training call gets random colours for all its views instead;
    it keeps the network from painting the object. views_per_colour: neighbours that then share a colour,
    None: all of them do. The directions enter as the 9 real spherical harmonics up to degree 2, without
    their constant factors.
    """

    def __init__(
        self,
        hidden: int = 16,
        random_probability: float = 0.5,
        views_per_colour: int | None = None,
        generator: torch.Generator | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.random_probability = random_probability
        self.views_per_colour = views_per_colour
        self.net = small_mlp(9, hidden, 3, generator, hidden_layers=2, bias=bias)

    def forward(self, directions: Tensor, generator: torch.Generator | None = None) -> Tensor:
        learned = torch.sigmoid(self.net(_harmonics(directions)))
        if not self.training:
            return learned
        source = generator.device if generator is not None else directions.device
        chance = torch.rand((), generator=generator, device=source).to(directions.device)
        views = directions.shape[0]
        colours = random_colours(views, generator, directions.device, self.views_per_colour or views)
        # A choice on the device: asking which way it fell would wait for the GPU.
        return torch.where(chance < self.random_probability, colours[:, None, None].to(learned), learned)


def _harmonics(directions: Tensor) -> Tensor:
    x, y, z = directions.unbind(-1)
    return torch.stack((torch.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1), -1)
