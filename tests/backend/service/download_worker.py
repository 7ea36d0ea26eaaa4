# SPDX-License-Identifier: GPL-3.0-or-later
"""The real worker, for a hub that has the tiny network of the goldens under the published model's name.

That network's shapes do not tell its configuration as the published ones do, so its YAML is given.
"""

import functools
import sys
from pathlib import Path

from backend.diffusion import installation
from backend.service import worker
from tests.backend.hub.hub_server import QUICK

YAML = Path(__file__).resolve().parents[2] / "data" / "goldens" / "tiny-v21.yaml"

if __name__ == "__main__":
    installation.install = functools.partial(installation.install, config=YAML, patience=QUICK)
    sys.exit(worker.main(sys.argv[1:]))
