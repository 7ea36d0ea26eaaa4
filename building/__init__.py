# SPDX-License-Identifier: GPL-3.0-or-later
"""What build.py does, one concept a file. Standard library only: it has no environment yet."""
