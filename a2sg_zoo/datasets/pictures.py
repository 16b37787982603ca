"""The one reader of pictures, for training, evaluation, inference, the demo page and the checks of exported files, and
the reader of segmentation masks."""

import io
import os
import stat
import warnings
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from a2sg_zoo.errors import ConfigError, DataError

# Pillow's names of the formats that are read. Pillow is given these and no others: it would hand PostScript to an
# external program, whatever the name of the file is
FORMATS = ('BMP', 'GIF', 'JPEG', 'PNG', 'PPM', 'TIFF', 'WEBP')
SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.gif', '.ppm', '.pgm')
# formats of segmentation masks: those that keep every pixel
MASK_FORMATS = ('BMP', 'PNG', 'TIFF')
# largest picture, if the environment variable A2SG_MAX_PIXELS names no other: a photograph of 9,400 x 9,400
MAX_PIXELS = 89_478_485
_VARIABLE = 'A2SG_MAX_PIXELS'
# largest ratio of the sides: a transform that enlarges the shorter side enlarges the longer side as much
MAX_RATIO = 200
_UPRIGHT = 1
# tags of a TIFF, and the value of `_PHOTOMETRIC` for grey values that are inverted
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
# a larger picture is refused below, by a limit that is lower than or equal to that of the warning
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)


def read_picture(path: str | os.PathLike, max_pixels: int | None = None) -> np.ndarray:
    """The picture in a file.

    Every part of a2sg_zoo reads pictures in this way:

    - The formats are those of `FORMATS`, told by the contents of the file and not by its name. Of several pictures in a
      file, such as the frames of an animation, the first one is taken.
    - The picture is turned upright as the orientation in its EXIF data says.
    - Grey pictures of 16 bits are scaled to 8 bits. Pictures of floating-point numbers are refused.
    - Transparent pixels are blended with white.

    Args:
        path: file.
        max_pixels: see `decode_picture`.

    Returns:
        uint8 array (H, W, 3), red first.

    Raises:
        DataError: the file cannot be read, is damaged, too large, or holds no picture of these kinds.
    """
    with open_file(path, 'picture') as file:
        return decode_picture(file, f'picture {path}', max_pixels)[0]


def decode_picture(source: BinaryIO | Image.Image, name: str, max_pixels: int | None = None) -> tuple[np.ndarray, int]:
    """A picture and the EXIF orientation with which it was stored; see `read_picture`.

    Args:
        source: open file, or a PIL image.
        name: what the messages call the picture, such as 'picture cat.jpg'.
        max_pixels: largest number of pixels; by default `A2SG_MAX_PIXELS` from the environment, or `MAX_PIXELS`.

    Returns:
        uint8 array (H, W, 3), red first, and 1 to 8; 1 means that the picture was stored upright.

    Raises:
        DataError: the picture is damaged, too large, or of another kind.
    """
    try:
        image = source if isinstance(source, Image.Image) else _open(source, name, FORMATS, max_pixels)
        _check_size(image.size, name, max_pixels)
        # Pillow turns a TIFF while it loads it, and then forgets its orientation
        orientation = _orientation(image)
        # Pillow inverts a TIFF in which 0 is white, but not one of 16 bits
        negative = image.mode.startswith('I;16') and _stores_white_as_0(image)
        pixels = np.array(_to_rgb(ImageOps.exif_transpose(image), name))
        return 255 - pixels if negative else pixels, orientation
    except (DataError, ConfigError):
        raise
    except Exception as error:  # the file may hold anything, and each decoder has errors of its own
        raise _damaged(name, error) from error


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """The labels in the file of a segmentation mask; see `decode_mask`.

    Raises:
        DataError: the file cannot be read, is damaged, too large, or holds no mask.
    """
    with open_file(path, 'segmentation mask') as file:
        return decode_mask(file, f'segmentation mask {path}')


def decode_mask(file: BinaryIO, name: str) -> np.ndarray:
    """The labels of a segmentation mask: the indices of a palette image, or the grey values as they are stored.

    A mask has one channel of 1 to 16 bits in a format that loses nothing (PNG, TIFF, BMP). It is turned by its own EXIF
    orientation, as pictures are. A TIFF in which 0 is white is refused: programs disagree on its grey values.

    Args:
        file: open file.
        name: what the messages call the mask, such as 'segmentation mask a.png'.

    Returns:
        array (H, W), uint8, or uint16 where the file has 16 bits.

    Raises:
        DataError: the mask is damaged, too large, or of another kind.
    """
    try:
        stored = _open(file, name, MASK_FORMATS)
        if stored.format == 'TIFF' and stored.info.get('compression') == 'jpeg':
            raise DataError(f'{name} is compressed as JPEG, which changes labels; save it as PNG')
        if _stores_white_as_0(stored):
            raise DataError(f'{name} stores white as 0, and programs disagree on what its labels are; save it as PNG')
        image = ImageOps.exif_transpose(stored)
        if image.mode not in ('1', 'L', 'P') and not image.mode.startswith('I'):
            raise DataError(
                f"{name} has pixels of mode {image.mode}; needed is one channel of class ids (Pillow's mode P or L)"
            )
        if image.mode.startswith('I'):
            labels = np.asarray(image.convert('I'))
            if labels.min() < 0 or labels.max() > 0xFFFF:
                raise DataError(f'{name} holds labels {labels.min()}..{labels.max()}; needed are 0..{0xFFFF}')
            return labels.astype(np.uint16)
        labels = np.array(image).astype(np.uint8)
        # Pillow scales grey values of 2 and 4 bits to 0..255
        return labels // _grey_scale(stored, file) if image.mode == 'L' else labels
    except DataError:
        raise
    except Exception as error:
        raise _damaged(name, error) from error


def orientation_of(path: str | os.PathLike) -> int:
    """The EXIF orientation of a picture file, 1 to 8; 1 where it has none."""
    with open_file(path, 'picture') as file:
        return _orientation(Image.open(file, formats=FORMATS))


def open_file(path: str | os.PathLike, what: str) -> BinaryIO:
    """Opens a regular file for reading.

    Args:
        path: file.
        what: what the messages call it, such as 'picture'.

    Raises:
        DataError: it cannot be read, or is a folder, a pipe, a device or a socket, which might never end.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise DataError(f'{what} {path} cannot be read: it is {_kind(mode)}, not a regular file')
        return open(path, 'rb')
    except (OSError, ValueError) as error:
        raise DataError(f'{what} {path} cannot be read: {getattr(error, "strerror", None) or error}') from error


def pixel_limit() -> int:
    """The largest number of pixels of a picture: the environment variable A2SG_MAX_PIXELS, or else `MAX_PIXELS`.

    Raises:
        ConfigError: the variable is no positive integer.
    """
    text = os.environ.get(_VARIABLE, '')
    if not text:
        return MAX_PIXELS
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise ConfigError(f'the environment variable {_VARIABLE} must be a positive integer, got {text!r}')
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, int(text))
    return int(text)


def _open(file: BinaryIO, name: str, formats: tuple[str, ...], max_pixels: int | None = None) -> Image.Image:
    limit = pixel_limit()  # of Pillow, too
    try:
        image = Image.open(file, formats=formats)
    except Image.UnidentifiedImageError as error:
        raise DataError(
            f'{name} is damaged, or no picture in one of the formats that are read: {", ".join(formats)}'
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(f'{name} has more than {limit:,} pixels; make it smaller, or set {_VARIABLE}') from error
    _check_size(image.size, name, max_pixels)
    if image.format == 'PNG':
        _verify_png(file, formats)
        image = Image.open(file, formats=formats)
    return image


def _verify_png(file: BinaryIO, formats: tuple[str, ...]) -> None:
    """Raises an error for a wrong checksum, which decoding does not look at, and for a missing end."""
    file.seek(0)
    Image.open(file, formats=formats).verify()
    file.seek(-12, io.SEEK_END)
    tail = file.read()
    file.seek(0)
    if not tail.endswith(b'IEND\xaeB`\x82') and b'IEND\xaeB`\x82' not in file.read():  # bytes may follow the end
        raise ValueError('its last bytes are missing')
    file.seek(0)


def _check_size(size: tuple[int, int], name: str, max_pixels: int | None) -> None:
    width, height = size
    limit = pixel_limit() if max_pixels is None else max_pixels
    if not width or not height:
        raise DataError(f'{name} is {width} x {height} pixels: it is empty')
    if width * height > limit:
        raise DataError(
            f'{name} is {width} x {height} = {width * height:,} pixels, and at most {limit:,} are read; make it smaller'
            + (f', or set {_VARIABLE}' if max_pixels is None else '')
        )
    if max(size) > MAX_RATIO * min(size):
        raise DataError(
            f'{name} is {width} x {height} pixels: one side is more than {MAX_RATIO} times the other; cut it to pieces'
        )


def _orientation(image: Image.Image) -> int:
    found = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
    return found if found in range(1, 9) else _UPRIGHT


def _stores_white_as_0(image: Image.Image) -> bool:
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == 'F':
        raise DataError(
            f'{name} holds floating-point numbers, which have no agreed black and white; convert it to 8 or 16 bits'
        )
    if image.mode.startswith('I'):
        return Image.fromarray(_eight_bits(image, name)).convert('RGB')
    if not image.has_transparency_data:
        return image.convert('RGB')
    image = image.convert('RGBA')
    alpha = image.getchannel('A')
    if alpha.getextrema()[0] == 255:
        return image.convert('RGB')
    blended = Image.new('RGB', image.size, 'white')
    blended.paste(image, mask=alpha)
    return blended


def _eight_bits(image: Image.Image, name: str) -> np.ndarray:
    """Grey of 16 bits, scaled to 8 bits and rounded."""
    grey = np.asarray(image.convert('I'))
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 0xFFFF:
        raise DataError(f'{name} has pixels from {low} to {high}, which are no 16 bits; convert it to 8 or 16 bits')
    if 0 < high <= 0xFF:
        raise DataError(
            f'{name} has pixels of 16 bits, the brightest of them {high}: they look like 8 bits, and would be black; '
            'convert it to 8 bits'
        )
    scaled = ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
    transparent = image.info.get('transparency')
    if isinstance(transparent, int):
        scaled[grey == transparent] = 255
    return scaled


def _grey_scale(stored: Image.Image, file: BinaryIO) -> int:
    """The factor by which Pillow multiplies the grey values of a mask."""
    bits = 8
    if isinstance(stored, TiffImageFile):
        (bits,) = stored.tag_v2[_BITS]
    elif stored.format == 'PNG':
        file.seek(0)
        header = file.read(26)
        bits = header[24] if header[25] == 0 else 8
    return {2: 85, 4: 17}.get(bits, 1)


def _damaged(name: str, reason: object) -> DataError:
    return DataError(f'{name} is damaged ({reason}); replace or remove this file')


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: 'a folder',
        stat.S_IFIFO: 'a named pipe',
        stat.S_IFCHR: 'a device',
        stat.S_IFBLK: 'a device',
        stat.S_IFSOCK: 'a socket',
    }
    return kinds.get(stat.S_IFMT(mode), 'something else')


def is_picture(path: str | os.PathLike) -> bool:
    """Whether a file has one of the suffixes of pictures, in upper or lower case."""
    return os.path.splitext(path)[1].lower() in SUFFIXES
