# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the objects of a dataset lie: in folders, or in tar files that are read in place."""

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from backend.errors import UserError

DESCRIPTION = "transforms.json"
UNFINISHED = ".part"  # how the renderer names an object that it is still writing


@dataclass(frozen=True)
class ObjectSource:
    """One object's files.

    Args:
        name: name of the object's folder.
        location: the object's folder, or the tar file that holds it.
        members: file relative to the object's folder -> (offset, size) in the tar file; None for a folder.
    """

    name: str
    location: Path
    members: dict[str, tuple[int, int]] | None = None

    def __str__(self) -> str:
        return str(self.location) if self.members is None else f"{self.name} in {self.location}"

    def read(self, file: str) -> bytes:
        """Contents of `file`, a path relative to the object's folder.

        Raises:
            UserError: the file is missing, or its path leads out of the object's folder.
        """
        path = PurePosixPath(file.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise UserError(
                f"{self}: the file path {file!r} leads out of the object's folder. Use relative paths."
            )
        if self.members is None:
            try:
                return (self.location / path).read_bytes()
            except OSError as error:
                raise UserError(f"{self}: cannot read {file!r} ({error.strerror}).") from error
        place = self.members.get(str(path))
        if place is None:
            raise UserError(f"{self}: {file!r} is missing.")
        with self.location.open("rb") as archive:
            archive.seek(place[0])
            return archive.read(place[1])


def find_objects(path: Path) -> list[ObjectSource]:
    """All objects under a dataset folder or in a tar file, sorted by name.

    Args:
        path: `<dataset>` folder with `<object>/transforms.json` in it, one object's folder, or an
            uncompressed tar file of either.

    Raises:
        UserError: nothing is there, or no transforms.json in it.
    """
    if path.is_dir():
        # os.walk, unlike rglob, goes on when a folder is renamed under it: a renderer may still be at work.
        walked = ((Path(folder), files) for folder, _, files in os.walk(path))
        found = [ObjectSource(folder.name, folder) for folder, files in walked if DESCRIPTION in files]
    elif path.is_file():
        found = _objects_in_tar(path)
    else:
        raise UserError(f"There is no dataset at {path}. Give a dataset folder or a .tar file of one.")
    found = [source for source in found if not source.name.endswith(UNFINISHED)]
    if not found:
        raise UserError(
            f"{path} holds no {DESCRIPTION}. A dataset is a folder with one folder an object, "
            f"and a {DESCRIPTION} beside the images of each."
        )
    return sorted(found, key=lambda source: source.name)


def _objects_in_tar(path: Path) -> list[ObjectSource]:
    folders: dict[PurePosixPath, dict[str, tuple[int, int]]] = {}
    described: set[PurePosixPath] = set()
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                name = PurePosixPath(member.name)
                place = (member.offset_data, member.size)
                folders.setdefault(name.parent, {})[name.name] = place
                if name.name == DESCRIPTION:
                    described.add(name.parent)
    except tarfile.ReadError as error:
        raise UserError(
            f"{path} is not an uncompressed tar file ({error}). Pack the dataset with `tar -cf`."
        ) from error
    _adopt_subfolders(folders, described)
    return [ObjectSource(folder.name or path.stem, path, folders[folder]) for folder in described]


def _adopt_subfolders(
    folders: dict[PurePosixPath, dict[str, tuple[int, int]]], described: set[PurePosixPath]
) -> None:
    """Gives files in subfolders (`images/000.png`) to the object folder above them."""
    for folder in [folder for folder in folders if folder not in described]:
        owner = next((parent for parent in folder.parents if parent in described), None)
        if owner is not None:
            prefix = folder.relative_to(owner)
            folders[owner].update({str(prefix / name): place for name, place in folders[folder].items()})
