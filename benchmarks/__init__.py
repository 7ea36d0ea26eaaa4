# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how fast the project is. Each module prints a table; nothing here is a test."""

from backend.gpu_memory import keep_little
from backend.heap import keep_freed

# As the program does.
keep_little()
keep_freed()
