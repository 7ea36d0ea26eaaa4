# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's operators, one file a topic."""
