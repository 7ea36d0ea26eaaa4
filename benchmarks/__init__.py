# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how fast the project is. Each module prints a table; nothing here is a test."""
