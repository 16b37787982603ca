"""The one reader of pictures, and that of masks, on files that people and their enemies have."""

import io
import os
import struct
import zlib
from functools import partial

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from a2sg_zoo.apis.sources import read_image
from a2sg_zoo.datasets import ADE20K, ImageFolder, ImageNet
from a2sg_zoo.datasets.pictures import decode_mask, decode_picture, read_mask, read_picture
from a2sg_zoo.errors import ConfigError, DataError
from tests.datasets.test_masks import tiff

HEIGHT, WIDTH = 20, 30
COLOURS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
RAMP = np.linspace(0, 65535, HEIGHT * WIDTH).round().reshape(HEIGHT, WIDTH)
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
# (suffix, mode): formats that carry EXIF data, and the modes that they store
STORED = [
    *(('.jpg', mode) for mode in ('L', 'RGB', 'CMYK')),
    *(('.png', mode) for mode in ('1', 'L', 'P', 'LA', 'RGB', 'RGBA', 'I;16')),
    *(('.tif', mode) for mode in ('1', 'L', 'P', 'LA', 'RGB', 'RGBA', 'CMYK', 'I;16', 'I;16B', 'I')),
    *(('.webp', mode) for mode in ('RGB', 'RGBA')),
]


def in_mode(mode):
    if mode.startswith('I'):
        dtype = {'I': np.int32, 'I;16': '<u2', 'I;16B': '>u2'}[mode]
        return Image.frombytes(mode, (WIDTH, HEIGHT), RAMP.astype(dtype).tobytes())
    return Image.fromarray(COLOURS).convert(mode)


def save(image, path, orientation=1):
    exif = Image.Exif()
    exif[274] = orientation
    options = dict(lossless=True) if path.suffix == '.webp' else {}
    image.save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize(
    'suffix, mode', [pytest.param(*each, marks=() if i % 3 else pytest.mark.slow) for i, each in enumerate(STORED)]
)
def test_every_reader_sees_the_same(suffix, mode, tmp_path):
    """Training and evaluation on folders, on ImageNet's layout, on ADE20K's, and inference: formats x modes x turns."""
    for split in ('train', 'val'):
        (tmp_path / split / 'cat').mkdir(parents=True)
    for folder in ('images', 'annotations'):
        (tmp_path / folder / 'training').mkdir(parents=True)
    for orientation, shown in SHOWN.items():
        path = save(in_mode(mode), tmp_path / 'train' / 'cat' / f'x{suffix}', orientation)
        upright = save(in_mode(mode), tmp_path / f'upright{suffix}')
        picture = read_picture(path)
        assert picture.dtype == np.uint8 and picture.flags.c_contiguous and picture.flags.writeable
        assert np.array_equal(picture, shown(read_picture(upright)))
        assert np.array_equal(picture, read_image(path))
        # of a path, Pillow maps some TIFF files into memory, and scrambles those that are turned
        assert np.array_equal(picture, read_image(Image.open(io.BytesIO(path.read_bytes()))))
        (item,) = ImageNet(tmp_path)
        assert np.array_equal(picture, item['inputs'].permute(1, 2, 0))
        small = np.asarray(Image.fromarray(picture).resize((8, 8), Image.Resampling.BILINEAR))
        assert np.array_equal(small, ImageFolder(tmp_path, size=8)[0]['inputs'].permute(1, 2, 0))
        if orientation not in (1, 6):
            continue
        target = tmp_path / 'images' / 'training' / 'x.jpg'
        target.write_bytes(path.read_bytes())
        labels = Image.fromarray(np.ones(picture.shape[:2], np.uint8))
        labels.save(tmp_path / 'annotations' / 'training' / 'x.png')
        scene = ADE20K(
            tmp_path,
            [dict(type='LoadImage'), dict(type='LoadSegAnnotations')],
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        )
        assert np.array_equal(picture, scene[0]['img'][..., ::-1])


@pytest.mark.parametrize('suffix, mode', STORED)
def test_pixels_are_those_that_were_stored(suffix, mode, tmp_path):
    path = save(in_mode(mode), tmp_path / f'x{suffix}')
    if mode.startswith('I'):
        expected = np.stack([(RAMP / 257).round()] * 3, 2)
    elif suffix == '.jpg':
        expected = cv2.imread(str(path))[..., ::-1]
    else:
        expected = np.asarray(in_mode(mode).convert('RGB'))
    # OpenCV rounds the colours of CMYK otherwise
    assert np.abs(read_picture(path).astype(int) - expected).max() <= (mode == 'CMYK' and suffix == '.jpg')


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('white', [0, 255])
def test_a_tiff_in_which_0_is_white(bits, white):
    stored = np.array([0, 85, 170, 255], np.uint8)
    rows = (stored if bits == 8 else stored.astype('<u2') * 257).tobytes()
    file = io.BytesIO(tiff(4, 1, bits, rows, photometric=0 if white == 0 else 1))
    assert decode_picture(file, 'x')[0][0, :, 0].tolist() == [abs(255 - white - x) for x in stored.tolist()]


@given(st.data())
@settings(max_examples=30)
def test_sixteen_bits_are_scaled(data):
    bits = data.draw(st.lists(st.integers(0, 65535), min_size=6, max_size=6).filter(lambda x: max(x) > 255))
    file = io.BytesIO()
    Image.fromarray(np.array(bits, np.uint16).reshape(2, 3)).save(file, 'png')
    grey = decode_picture(file, 'x')[0]
    assert (grey == grey[..., :1]).all()
    assert grey[..., 0].ravel().tolist() == [round(x / 257) for x in bits]


@pytest.mark.parametrize('array', [RAMP / 65535, RAMP, RAMP - 0.5])
def test_floats_are_refused_by_name(array, tmp_path):
    Image.fromarray(array.astype(np.float32)).save(tmp_path / 'float.tif')
    with pytest.raises(DataError, match='float.tif'):
        read_picture(tmp_path / 'float.tif')


@pytest.mark.parametrize(
    'array',
    [
        np.full((3, 4), 200, np.uint16),  # 8 bits in a container of 16
        np.array([[0, 70_000]], np.int32),
        np.array([[-1, 70]], np.int32),
    ],
)
def test_integers_that_are_no_16_bits_are_refused_by_name(array, tmp_path):
    Image.fromarray(array).save(tmp_path / 'wide.tif')
    with pytest.raises(DataError, match='wide.tif'):
        read_picture(tmp_path / 'wide.tif')


@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'P', 'PA', 'RGB', 'L', 'I;16'])
def test_transparent_pixels_are_white(mode, tmp_path):
    image, options = in_mode('RGB' if mode in ('RGBA', 'PA', 'P') else 'L' if mode == 'LA' else mode), {}
    hidden = np.zeros((HEIGHT, WIDTH), bool)
    hidden[:, ::2] = True
    if mode in ('RGB', 'L', 'I;16'):  # one colour is declared transparent
        pixels = np.array(image)
        pixels[hidden] = 300 if mode == 'I;16' else 7
        image, options = Image.fromarray(pixels), dict(transparency={'RGB': (7, 7, 7), 'L': 7, 'I;16': 300}[mode])
        hidden = (pixels == (300 if mode == 'I;16' else 7)).reshape(HEIGHT, WIDTH, -1).all(2)
    elif mode == 'P':
        image = image.convert('P', palette=Image.Palette.ADAPTIVE, colors=16)
        hidden, options = np.asarray(image) == 3, dict(transparency=3)
    elif mode == 'PA':
        image = image.convert('P').convert('PA')
        image.putalpha(Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)))
    else:
        image.putalpha(Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)))
    suffix = '.tif' if mode == 'PA' else '.png'
    image.save(tmp_path / f'x{suffix}', **options)
    picture = read_picture(tmp_path / f'x{suffix}')
    opaque = Image.open(tmp_path / f'x{suffix}')
    assert hidden.any() and (picture[hidden] == 255).all()
    if mode != 'I;16':
        assert np.array_equal(picture[~hidden], np.asarray(opaque.convert('RGBA').convert('RGB'))[~hidden])


def test_half_transparent_is_blended(tmp_path):
    Image.new('RGBA', (3, 2), (0, 100, 255, 51)).save(tmp_path / 'x.png')
    assert np.abs(read_picture(tmp_path / 'x.png') - np.array([204.0, 224, 255])).max() <= 1


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 9 9
%%EndComments
(trace) (w) file closefile showpage
%%EOF
"""


@pytest.mark.parametrize('reader', [read_picture, read_image, read_mask])
@pytest.mark.parametrize('name', ['cat.jpg', 'cat.eps', 'cat.png'])
def test_postscript_starts_nothing(reader, name, tmp_path, monkeypatch):
    def started(*args, **kwargs):
        pytest.fail('Ghostscript was started')

    monkeypatch.setattr('PIL.EpsImagePlugin.Ghostscript', started)
    path = tmp_path / name
    path.write_bytes(EPS)
    with pytest.raises(DataError, match=name):
        reader(path)
    with pytest.raises(pytest.fail.Exception):
        Image.open(path).load()  # so the trap does work


OTHERS = ['pcx', 'tga', 'sgi', 'im', 'ico', 'jp2', 'pdf', 'dds', 'xbm', 'msp', 'spider']


@pytest.mark.parametrize('suffix', OTHERS)
def test_other_formats_are_not_read(suffix, tmp_path):
    try:
        Image.fromarray(COLOURS).convert('1' if suffix in ('xbm', 'msp') else 'RGB').save(tmp_path / 'x', suffix)
    except (KeyError, OSError, ValueError):
        pytest.skip(f'this Pillow does not write {suffix}')
    (tmp_path / 'x').rename(tmp_path / 'x.jpg')
    with pytest.raises(DataError, match='x.jpg'):
        read_picture(tmp_path / 'x.jpg')


def pipe(path):
    os.mkfifo(path)


def loop(path):
    path.symlink_to(path)


def two_links(path):
    path.symlink_to(path.with_name('b.jpg'))
    path.with_name('b.jpg').symlink_to(path)


@pytest.mark.parametrize('reader', [read_picture, read_image, read_mask])
@pytest.mark.parametrize(
    'make',
    [
        pipe,
        loop,
        two_links,
        os.mkdir,
        lambda path: path.symlink_to('/dev/zero'),
        lambda path: path.symlink_to('nowhere'),
        lambda path: path.write_bytes(b''),
        lambda path: path.touch(0),
    ],
    ids=['pipe', 'loop', 'two links', 'folder', 'device', 'broken link', 'empty', 'no rights'],
)
def test_what_is_no_file_is_named_at_once(reader, make, tmp_path):
    make(tmp_path / 'cat.jpg')
    with pytest.raises(DataError, match='cat.jpg'):
        reader(tmp_path / 'cat.jpg')


@pytest.mark.parametrize('path', ['x' * 300 + '.png', 'a\0.png', '/dev/zero', '/dev/stdin', '/proc/self/mem', ''])
def test_names_that_cannot_be(path):
    for reader in (read_picture, read_image, read_mask):
        with pytest.raises(DataError):
            reader(path)


def test_names_that_are_not_utf8(tmp_path):
    path = os.fsencode(tmp_path) + b'/caf\xe9.png'
    Image.fromarray(COLOURS).save(io.BytesIO(), 'png')
    with open(path, 'wb') as file:
        Image.fromarray(COLOURS).save(file, 'png')
    for reader in (read_picture, read_image):
        assert np.array_equal(reader(os.fsdecode(path)), COLOURS)
    with open(path, 'wb') as file:
        file.write(b'none')
    with pytest.raises(DataError, match='caf'):
        read_picture(os.fsdecode(path))


def png(width, height, bits=1, colour=0, rows=None):
    """A PNG of zeros that takes few bytes."""

    def chunk(name, data):
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

    header = struct.pack('>IIBBBBB', width, height, bits, colour, 0, 0, 0)
    rows = bytes((width * bits + 7) // 8 + 1) * height if rows is None else rows
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows, 9)) + chunk(b'IEND', b'')


@pytest.mark.parametrize('size', [(20_000, 20_000), (50_000, 50_000), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_before_they_are_decoded(size, tmp_path, monkeypatch):
    (tmp_path / 'bomb.png').write_bytes(png(*size, rows=b''))
    monkeypatch.setattr('PIL.ImageFile.ImageFile.load', lambda image: pytest.fail('decoded'))
    for reader in (read_picture, read_image, read_mask):
        with pytest.raises(DataError, match='bomb.png.*A2SG_MAX_PIXELS|bomb.png'):
            reader(tmp_path / 'bomb.png')


def test_the_limit_of_pixels_can_be_set(tmp_path, monkeypatch):
    path = tmp_path / 'x.png'
    Image.fromarray(COLOURS).save(path)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', HEIGHT * WIDTH // 3)  # Pillow itself opens no more than twice that
    with pytest.raises(DataError, match='x.png.*A2SG_MAX_PIXELS'):
        read_picture(path)
    monkeypatch.setenv('A2SG_MAX_PIXELS', str(HEIGHT * WIDTH))
    assert np.array_equal(read_picture(path), COLOURS)
    monkeypatch.setenv('A2SG_MAX_PIXELS', str(HEIGHT * WIDTH - 1))
    for source in (path, Image.fromarray(COLOURS)):
        with pytest.raises(DataError, match='A2SG_MAX_PIXELS'):
            read_image(source)
    for wrong in ('0', '-5', '1e6', 'many', '１２'):
        monkeypatch.setenv('A2SG_MAX_PIXELS', wrong)
        with pytest.raises(ConfigError, match='A2SG_MAX_PIXELS'):
            read_picture(path)


@pytest.mark.parametrize('size', [(1, 201), (5000, 1)])
def test_strips_are_refused(size, tmp_path):
    Image.new('RGB', size).save(tmp_path / 'strip.png')
    with pytest.raises(DataError, match='strip.png'):
        read_picture(tmp_path / 'strip.png')
    Image.new('RGB', (1, 200)).save(tmp_path / 'strip.png')
    assert read_picture(tmp_path / 'strip.png').shape == (200, 1, 3)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp', '.tif', '.webp', '.gif', '.ppm'])
@pytest.mark.parametrize('keep', [0.02, 0.5, -1, -3])
def test_files_cut_short(suffix, keep, tmp_path):
    path = tmp_path / f'x{suffix}'
    smooth = Image.fromarray(COLOURS).resize((300, 200))
    smooth.save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if keep > 0 else keep])
    try:
        found = read_picture(path)
    except DataError as error:
        assert str(path) in str(error)
    else:  # the bytes that are missing hold no pixel
        path.write_bytes(data)
        assert keep < 0 and np.array_equal(found, read_picture(path))


@given(st.binary(max_size=300), st.sampled_from(['png', 'jpeg', 'gif', 'tiff', 'bmp', 'webp', 'ppm']), st.data())
@settings(max_examples=200)
def test_any_bytes_give_a_picture_or_an_error_for_people(junk, kind, data):
    file = io.BytesIO()
    Image.fromarray(COLOURS).save(file, kind)
    whole = file.getvalue()
    at = data.draw(st.integers(0, len(whole)))
    for reader in (partial(decode_picture, name='x'), partial(decode_mask, name='x')):
        try:
            reader(io.BytesIO(whole[:at] + junk + whole[at + len(junk) :]))
        except DataError as error:
            assert str(error).startswith('x ')


def test_flipped_bits_of_a_png_are_found(tmp_path):
    path = tmp_path / 'x.png'
    Image.fromarray(COLOURS).save(path)
    data = bytearray(path.read_bytes())
    for at in range(8, len(data) - 12, 37):
        flipped = data.copy()
        flipped[at] ^= 0x10
        path.write_bytes(flipped)
        with pytest.raises(DataError, match='x.png'):
            read_picture(path)
