# SPDX-License-Identifier: GPL-3.0-or-later
"""PyTorch backend: MVDream score distillation, mesh extraction, training and the job service. Never imports bpy."""

__version__ = "0.1.0"
