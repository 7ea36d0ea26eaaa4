# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how well a model does on prompts it was never trained on, against Blender's renders."""
