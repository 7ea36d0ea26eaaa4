# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of files out of prompts."""

import pytest

from building import slugs


class TestSlugs:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("a red mug", "a-red-mug"),
            ("  A *red* mug!  ", "a-red-mug"),
            ("../../etc/passwd", "etc-passwd"),
            ("une tasse d'été", "une-tasse-d-été"),
            ("赤いマグカップ", "赤いマグカップ"),
            ("ก้อน", "ก้อน"),
            ("🎈🎈", "object"),
            ("", "object"),
            ("con", "con-object"),
            ("x" * 300, "x" * 60),
            ("a b" + "-" * 80, "a-b"),
        ],
    )
    def test_names(self, text, name):
        assert slugs.slug(text) == name
        assert len(slugs.slug(text).encode()) <= 255
