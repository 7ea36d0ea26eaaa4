# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake Python that makes fake environments."""

from mvdream_blender import environment as module
from mvdream_blender.environment import Environment

# "-m venv FOLDER" makes a copy of itself there; pip and the check obey the file "behave" beside it. What pip
# was asked for is in "asked"; which PyTorch the check finds is in "built".
FAKE = """#!/bin/sh
if [ "$2" = venv ]; then
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
    exit 0
fi
if [ "$1" = -I ]; then
    rm -rf "$4"
    exit 0
fi
behave=$(cat behave 2>/dev/null)
echo "$* TMPDIR=$TMPDIR" >>asked
case "$*" in
*--index-url*torch==*)
    [ "$behave" = "no build" ] && echo "ERROR: No matching distribution found for torch" && exit 1
    [ "$behave" = "cut off" ] && echo "ERROR: IncompleteRead" && exit 1
    ;;
*"-r "*)
    echo "Collecting torch==2.13"
    echo "  Downloading torch-2.13-cp311.whl (190.1 MB)"
    echo "Progress 50 of 200"
    [ "$behave" = hang ] && trap '' TERM && { sleep 600 & echo $! >"children"; sleep 600; }
    [ "$behave" = offline ] && echo "NameResolutionError: pypi.org" && exit 1
    [ "$behave" = full ] && echo "ERROR: [Errno 28] No space left on device" && exit 1
    ;;
-c*)
    [ "$behave" = broken ] && echo "ImportError: libcudart.so" && exit 1
    echo "{\\"torch\\": \\"2.13\\", \\"built\\": \\"$(cat built 2>/dev/null || echo cpu)\\"}" >"$3"
    ;;
esac
exit 0
"""


def make_environment(tmp_path, monkeypatch):
    """Whose base Python is the fake one. Nothing is installed."""
    monkeypatch.setattr(module, "NEEDED_BYTES", dict.fromkeys(module.NEEDED_BYTES, 1))
    base = tmp_path / "base python"
    base.write_text(FAKE)
    base.chmod(0o755)
    (tmp_path / "backend.txt").write_text("torch==2.13\n")
    user = tmp_path / "üser folder"
    user.mkdir()
    return Environment(user / "env", tmp_path / "backend.txt", base)


def behave(environment, how):
    (environment.folder.parent / "behave").write_text(how)
