# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of a model out of PyTorch alone: the same parameters and the same numbers as the stock ones.

diffusers and transformers take longer to import than the shipped model takes to sample views. So where
networks are only used, and not exchanged for fused ones, they are these. They know the settings that the
shipped model and MVDream's have (`settings`); for others, for training, conversion and fusing there is stock.
"""
