# SPDX-License-Identifier: GPL-3.0-or-later
"""The same networks, faster: fused channels-last modules and CUDA graphs. Weights are frozen here."""
