# SPDX-License-Identifier: GPL-3.0-or-later
"""What an object starts from, where that is more than a blob."""
