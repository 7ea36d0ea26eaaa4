# SPDX-License-Identifier: GPL-3.0-or-later
"""A toy world made of Blender primitives: the objects, colours and captions the shipped model learned from.

Runs in Blender's Python (needs bpy). `python -m toyworld --help` renders it.
"""
