# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress made out of what pip says."""

import pytest

from building.installer_output import InstallerOutput, count_pins


class TestInstallerOutput:
    LINES = (
        "Collecting tiny==1 (from -r tiny.txt (line 1))\n",
        "  Downloading tiny-1-py3-none-any.whl.metadata (2 kB)\n",
        "Collecting large==2\n",
        "Downloading large-2-cp311-cp311-manylinux_2_28_x86_64.whl (350.0 MB)\n",
        "Progress 0 of 367001600\n",
        "Progress 183500800 of 367001600\n",
        "Using cached tiny-1-py3-none-any.whl (12 kB)\n",
        "Installing collected packages: tiny, large\n",
    )

    def run(self, tmp_path):
        lock_file = tmp_path / "lock.txt"
        lock_file.write_text("# two\ntiny==1\n\nlarge==2 ; sys_platform == 'linux'\n")
        shown: list[tuple[str, float]] = []
        output = InstallerOutput([lock_file], tmp_path, lambda text, fraction: shown.append((text, fraction)))
        for line in self.LINES:
            output.line(line)
        return output, shown

    def test_says_what_is_fetched_and_never_goes_back(self, tmp_path):
        _, shown = self.run(tmp_path)
        assert "fetching large, 175 of 350 MB" in [text for text, _ in shown]
        assert shown[-1][0] == "unpacking 2 packages"
        fractions = [fraction for _, fraction in shown]
        assert fractions == sorted(fractions)
        assert 0 < fractions[0] < fractions[-1] < 1

    def test_counts_what_is_unpacked_while_pip_is_silent(self, tmp_path):
        output, shown = self.run(tmp_path)
        packages = tmp_path / "lib" / "python3.11" / "site-packages"
        (packages / "tiny-1.dist-info").mkdir(parents=True)
        before = shown[-1][1]
        output.idle()
        assert shown[-1][1] == pytest.approx((before + 1) / 2)

    def test_comments_are_no_packages(self):
        assert count_pins("# a\n\ntorch==1\n  # b\nnumpy==2 ; x\n") == 2
