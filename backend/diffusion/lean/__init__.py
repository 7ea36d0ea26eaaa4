# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of a model out of PyTorch alone: the same parameters and the same numbers as the stock ones.

diffusers and transformers take longer to import than the shipped model takes to sample views. So where
networks are only used, they are these, and parts of them are exchanged for fused ones
(`backend.diffusion.fast`). They know the settings that the shipped model and MVDream's have (`settings`); for
others, for training and for conversion there are the stock ones.
"""
