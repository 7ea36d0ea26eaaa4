# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how fast the project is. Each module prints a table; nothing here is a test."""

from backend.gpu_memory import keep_little

# As the program does.
keep_little()
