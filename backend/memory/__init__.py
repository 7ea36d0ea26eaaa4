# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job will need of memory, and what is free: compared before it starts (planning.py).

This file imports nothing: the doctor asks for free memory where packages are missing.
"""
