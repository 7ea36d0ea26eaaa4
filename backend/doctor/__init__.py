# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at this machine and says what the backend has, what it lacks, and what to do about it.

Nothing here imports torch or any other package: what may be missing, broken or crashing is imported by child
processes that are allowed to fail.
"""

from backend.doctor.diagnosis import diagnose
from backend.doctor.examination import examine_facts
from backend.doctor.facts import Facts, Problem, Report

__all__ = ["Facts", "Problem", "Report", "diagnose", "examine"]


def examine() -> Report:
    """What this machine has, and the problems found. Takes as long as importing torch; never raises."""
    facts = examine_facts()
    return Report(facts, tuple(diagnose(facts)))
