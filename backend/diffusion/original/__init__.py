# SPDX-License-Identifier: GPL-3.0-or-later
"""The published MVDream checkpoints: their YAML, their key names, and where each goes in diffusers' parts.

Everything is derived from the YAML by rule, so other widths, depths and heads of the same family convert too.
"""
