# SPDX-License-Identifier: GPL-3.0-or-later
"""What build.py does, one concept a file. Standard library only: it makes the environments, so it has none."""
