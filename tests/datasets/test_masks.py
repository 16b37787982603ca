"""Segmentation masks: formats, modes, bits and orientations."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from a2sg_zoo.datasets.pictures import read_mask
from a2sg_zoo.errors import DataError

HEIGHT, WIDTH = 20, 30
# what a viewer shows of an array that was stored with this EXIF orientation
SHOWN = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def save(image, path, orientation=1):
    exif = Image.Exif()
    exif[274] = orientation
    options = dict(lossless=True) if path.suffix == '.webp' else {}
    image.save(path, exif=exif, **options)
    return path


def png(width, height, bits=1, colour=0, rows=None):
    """A PNG of zeros that takes few bytes."""

    def chunk(name, data):
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

    header = struct.pack('>IIBBBBB', width, height, bits, colour, 0, 0, 0)
    rows = bytes((width * bits + 7) // 8 + 1) * height if rows is None else rows
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows, 9)) + chunk(b'IEND', b'')


LABELS = (np.arange(HEIGHT * WIDTH) % 16).reshape(HEIGHT, WIDTH).astype(np.uint8)


@pytest.mark.parametrize('suffix', ['.png', '.tif', '.bmp'])
@pytest.mark.parametrize('mode', ['1', 'L', 'P'])
def test_masks(suffix, mode, tmp_path):
    labels = LABELS % 2 if mode == '1' else LABELS
    image = Image.fromarray(labels)
    if mode == 'P':
        image.putpalette(list(range(255, -1, -1)) * 3)
    elif mode == '1':
        image = Image.fromarray(labels.astype(bool))
    image.save(tmp_path / f'x{suffix}')
    found = read_mask(tmp_path / f'x{suffix}')
    assert found.dtype == np.uint8 and np.array_equal(found, labels)


@pytest.mark.parametrize('bits', [1, 2, 4, 8, 16])
@pytest.mark.parametrize('palette', [False, True])
def test_masks_of_few_and_of_many_bits(bits, palette, tmp_path):
    """Pillow scales grey values of 2 and 4 bits to 0..255, but not the indices of a palette."""
    if palette and bits == 16:
        pytest.skip('a palette has at most 256 colours')
    labels = (LABELS.astype(np.int64) * 4001) % 2**bits
    path = tmp_path / 'x.png'
    if palette:
        image = Image.fromarray(labels.astype(np.uint8))
        image.putpalette(list(range(2**bits)) * 3)
        image.save(path, bits=bits)
    else:
        rows = b''.join(b'\0' + pack(row, bits) for row in labels)
        path.write_bytes(png(WIDTH, HEIGHT, bits, rows=rows))
    assert path.read_bytes()[24] == bits and np.array_equal(read_mask(path), labels)


def pack(row, bits):
    text = ''.join(f'{int(x):0{bits}b}' for x in row)
    text += '0' * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, 'big')


def tiff(width, height, bits, rows, photometric=1):
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, height)]
    tags.append((279, len(rows)))
    directory = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags)
    return struct.pack('<2sHI', b'II', 42, 8 + len(rows)) + rows + struct.pack('<H', len(tags)) + directory + bytes(4)


@pytest.mark.parametrize('bits', [1, 2, 4, 8, 16])
def test_masks_of_few_bits_in_a_tiff(bits, tmp_path):
    labels = (LABELS.astype(np.int64) * 4001) % 2**bits
    rows = labels.astype('<u2').tobytes() if bits == 16 else b''.join(pack(row, bits) for row in labels)
    path = tmp_path / 'x.tif'
    path.write_bytes(tiff(WIDTH, HEIGHT, bits, rows))
    assert np.array_equal(read_mask(path), labels)
    path.write_bytes(tiff(WIDTH, HEIGHT, bits, rows, photometric=0))
    with pytest.raises(DataError, match='x.tif.*white'):
        read_mask(path)


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA', 'F', 'CMYK'])
def test_masks_of_other_pixels(mode, tmp_path):
    Image.fromarray(LABELS).convert(mode).save(tmp_path / 'x.tif')
    with pytest.raises(DataError, match=f'x.tif.* {mode}'):
        read_mask(tmp_path / 'x.tif')


def test_masks_that_lost_something(tmp_path):
    Image.fromarray(LABELS).save(tmp_path / 'x.png', 'jpeg')
    with pytest.raises(DataError, match='x.png'):
        read_mask(tmp_path / 'x.png')
    Image.fromarray(LABELS).save(tmp_path / 'x.tif', compression='jpeg')
    with pytest.raises(DataError, match='x.tif.*JPEG'):
        read_mask(tmp_path / 'x.tif')


def test_masks_are_turned_by_their_own_orientation(tmp_path):
    for orientation, shown in SHOWN.items():
        save(Image.fromarray(LABELS), tmp_path / 'x.png', orientation)
        assert np.array_equal(read_mask(tmp_path / 'x.png'), shown(LABELS))
