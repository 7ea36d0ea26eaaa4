# SPDX-License-Identifier: GPL-3.0-or-later
import tarfile
from pathlib import Path

import pytest

from backend.errors import UserError
from backend.training.archives import find_objects


def test_a_tar_file_reads_like_the_folder_that_was_packed(dataset_folder: Path, dataset_tar: Path) -> None:
    folders, packed = find_objects(dataset_folder), find_objects(dataset_tar)
    assert [source.name for source in folders] == [f"{i:03d}" for i in range(6)]
    assert [source.name for source in packed] == [source.name for source in folders]
    for file in ("transforms.json", "000.png", "007.png"):
        assert packed[3].read(file) == (dataset_folder / "003" / file).read_bytes()
        assert folders[3].read("./" + file) == packed[3].read("./" + file)


def test_images_in_a_subfolder_belong_to_the_object_above(tmp_path: Path) -> None:
    (tmp_path / "cup" / "images").mkdir(parents=True)
    (tmp_path / "cup" / "transforms.json").write_text("{}")
    (tmp_path / "cup" / "images" / "0.png").write_bytes(b"picture")
    with tarfile.open(tmp_path / "toys.tar", "w") as archive:
        archive.add(tmp_path / "cup", "cup")
    (source,) = find_objects(tmp_path / "toys.tar")
    assert source.read("images/0.png") == b"picture"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("file", ["../001/000.png", "/etc/passwd", "..\\001\\000.png"])
def test_no_path_leads_out_of_the_object(
    dataset_folder: Path, dataset_tar: Path, packed: bool, file: str
) -> None:
    source = find_objects(dataset_tar if packed else dataset_folder)[0]
    with pytest.raises(UserError, match="leads out"):
        source.read(file)


@pytest.mark.parametrize("packed", [False, True])
def test_a_missing_file_is_named(dataset_folder: Path, dataset_tar: Path, packed: bool) -> None:
    source = find_objects(dataset_tar if packed else dataset_folder)[0]
    with pytest.raises(UserError, match=r"099\.png"):
        source.read("099.png")


def test_objects_still_being_written_are_left_out(tmp_path: Path) -> None:
    for name in ("a", "b.part"):
        (tmp_path / "toys" / name).mkdir(parents=True)
        (tmp_path / "toys" / name / "transforms.json").write_text("{}")
    with tarfile.open(tmp_path / "toys.tar", "w") as archive:
        archive.add(tmp_path / "toys", "toys")
    for path in (tmp_path / "toys", tmp_path / "toys.tar"):
        assert [source.name for source in find_objects(path)] == ["a"]


def test_what_is_no_dataset_is_refused(tmp_path: Path, dataset_folder: Path) -> None:
    with pytest.raises(UserError, match="no dataset at"):
        find_objects(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no transforms\.json"):
        find_objects(tmp_path)
    with tarfile.open(tmp_path / "toys.tar.gz", "w:gz") as archive:
        archive.add(dataset_folder, "dataset")
    with pytest.raises(UserError, match="not an uncompressed tar"):
        find_objects(tmp_path / "toys.tar.gz")
