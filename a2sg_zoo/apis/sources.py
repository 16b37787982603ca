"""Where a picture comes from: a file, the web, an array or a PIL image."""

import io
import os
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias
from urllib.request import url2pathname

import numpy as np
from PIL import Image

from a2sg_zoo.datasets.pictures import SUFFIXES, decode_picture, is_picture, read_picture
from a2sg_zoo.errors import DataError
from a2sg_zoo.hub import web
from a2sg_zoo.hub.files import check_output

Source: TypeAlias = str | Path | np.ndarray | Image.Image

_WEB = ('http://', 'https://')
# of a picture from the web: bytes, seconds without any, and seconds in all
_LARGEST = 64 << 20
_STALL = 30
_SECONDS = 120


def read_image(source: Source, max_pixels: int | None = None) -> np.ndarray:
    """A picture as an array, read as everywhere in a2sg_zoo; see `a2sg_zoo.datasets.pictures.read_picture`.

    Args:
        source: a path, an http(s): or file: address, a PIL image, or an array (H, W, 3) or (H, W), uint8, red first.
        max_pixels: largest number of pixels; by default that of `read_picture`.

    Returns:
        uint8 array (H, W, 3), red first, upright.

    Raises:
        DataError: it is not there, is damaged, too large, or no picture.
    """
    if isinstance(source, np.ndarray):
        return _checked_array(source)
    if isinstance(source, Image.Image):
        return decode_picture(source, 'picture (a PIL image)', max_pixels)[0]
    if not isinstance(source, (str, Path)):
        raise DataError(f'a picture must be a path, an address, an array or a PIL image; got a {type(source).__name__}')
    path = local_path(source)
    if path is not None:
        return read_picture(path, max_pixels)
    return decode_picture(io.BytesIO(_fetch(str(source))), f'picture {source_name(source)}', max_pixels)[0]


def picture_list(inputs: Source | Sequence[Source]) -> list[Source]:
    """The single pictures of what a user gives: a picture, a folder of them, or a list of either.

    Of a folder, the files with the suffixes of pictures are taken, in alphabetical order, but hidden ones and those in
    folders within it.

    Raises:
        DataError: a folder cannot be read, or holds no picture.
    """
    if isinstance(inputs, (list, tuple)):
        return [source for item in inputs for source in picture_list(item)]
    single: Any = inputs
    path = local_path(single)
    try:
        if path is None or not path.is_dir():
            return [single]
        found = sorted(inner for inner in path.iterdir() if is_picture(inner) and not inner.name.startswith('.'))
    except OSError as error:
        raise DataError(f'{inputs} cannot be read: {error.strerror}') from error
    except ValueError:  # a name that no file can have, which is an error for one picture and not for all
        return [single]
    if not found:
        raise DataError(f'folder {inputs} holds no picture NAME{"|".join(SUFFIXES)}')
    return [*found]


def source_name(source: Source) -> str | None:
    """A path, or an address without user, password and query, as messages and results show it; None of an array or PIL
    image."""
    if not isinstance(source, (str, Path)):
        return None
    return str(source) if local_path(source) is not None else web.shown(str(source))


def local_path(source: Any) -> Path | None:
    """The path of a picture or folder on a disk; None for anything else."""
    if not isinstance(source, (str, Path)) or str(source).lower().startswith(_WEB):
        return None
    address = str(source).lower().startswith('file://')
    return Path(url2pathname(str(source)[len('file://') :]) if address else source)


def result_paths(sources: Sequence[Source], folder: Path, endings: Sequence[str], tool: str) -> list[Path]:
    """For each picture the path, without its ending, to which its results go: none for two of them.

    Args:
        sources: pictures.
        folder: for the results.
        endings: what the names of the results of a picture end in, such as ('.png', '_mask.png').
        tool: whose earlier results may be replaced; see `a2sg_zoo.hub.files.check_output`.

    Raises:
        DataError: one of the pictures would be overwritten.
        ConfigError: another file that the tool did not write would be overwritten, or the folder cannot be written.
    """
    paths = [local_path(source) for source in sources]
    pictures = {_identity(path) for path in paths if path is not None} - {None}
    taken, targets = set(), []
    for source, path in zip(sources, paths):
        name = str(source).partition('?')[0].rpartition('/')[2] if isinstance(source, str) else ''
        stem = unique = (PurePosixPath(name).stem if path is None else path.stem) or 'image'
        count = 1
        while not taken.isdisjoint(unique + ending for ending in endings):
            count += 1
            unique = f'{stem}_{count}'
        for file in (unique + ending for ending in endings):
            if _identity(folder / file) in pictures:
                raise DataError(
                    f'the picture {folder / file} would be overwritten by a result; let those go to another folder'
                )
            if os.path.lexists(folder / file):
                check_output(folder / file, tool)
            taken.add(file)
        targets.append(folder / unique)
    return targets


def _checked_array(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.ndim == 3 and array.shape[2] != 3 or not array.size:
        raise DataError(f'an array must be uint8, (H, W, 3) with red first, or (H, W); got {array.dtype} {array.shape}')
    return np.ascontiguousarray(np.broadcast_to(array[..., None], (*array.shape, 3))) if array.ndim == 2 else array


def _identity(path: Path) -> tuple[int, int] | None:
    """The same for all paths of one file; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _fetch(url: str) -> bytes:
    data, end = bytearray(), time.monotonic() + _SECONDS
    try:
        with web.get(url, _STALL) as response:
            web.require_success(response)
            web.refuse_web_page(response, 'a picture')
            for chunk in web.chunks(response, _STALL):
                data += chunk
                if len(data) > _LARGEST:
                    raise web.WebError(f'it is larger than {_LARGEST >> 20} MB; fetch it yourself, and make it smaller')
                if time.monotonic() > end:
                    raise web.WebError(f'it is not there after {_SECONDS:g} s; fetch it yourself')
    except web.WebError as error:
        raise DataError(f'picture {web.shown(url)} cannot be fetched: {error}') from error
    return bytes(data)
