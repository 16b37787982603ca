import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import a2sg_zoo
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.inference import ImageClassifierInferencer, SegmentationInferencer, inferencer, read_image
from tests.zoo.misbehaving import server  # noqa: F401
from tests.zoo.tiny import CLASSES, PALETTE, publish

ROOT = Path(__file__).resolve().parents[1]
CLASSES_OF = dict(classification=ImageClassifierInferencer, segmentation=SegmentationInferencer)


def photo(seed=0, height=32, width=32):
    """Smooth noise, uint8 (H, W, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height)))


@pytest.fixture
def weights(request, tmp_path, monkeypatch):
    """(network as it is loaded, path of the weights, task); the weights are `tiny` in the zoo."""
    torch.manual_seed(1)
    (tmp_path / 'zoo').mkdir()
    _, path, index = publish(tmp_path / 'zoo', task=request.param)
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(index))
    return a2sg_zoo.get_model('tiny'), path, request.param


def task(*names):
    return pytest.mark.parametrize('weights', names, indirect=True)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / 'pictures'
    path.mkdir()
    for i, size in enumerate([(32, 32), (32, 32), (40, 56)]):
        Image.fromarray(photo(i, *size)).save(path / f'{i}.png')
    (path / 'notes.txt').write_text('no picture')
    return path


def same(a, b):
    if 'mask' in a:
        return np.array_equal(a['mask'], b['mask']) and a['shares'] == b['shares']
    return a['label'] == b['label'] and np.allclose(a['scores'], b['scores'], atol=1e-5)


@task('classification')
def test_probabilities(weights):
    """Against the network called by hand: normalised, averaged over time, softmax."""
    model, _, _ = weights
    image = photo()
    found, = ImageClassifierInferencer('tiny', 'cpu')(image)['predictions']
    x = (torch.tensor(image).permute(2, 0, 1).float() - torch.tensor([120., 110, 100]).view(3, 1, 1)) \
        / torch.tensor([60., 50, 70]).view(3, 1, 1)
    expected = model(x[None])[:, 0].mean(0).softmax(0)
    assert np.allclose(found['scores'], expected.detach(), atol=1e-6)
    assert found['label'] == expected.argmax() and found['name'] == CLASSES[found['label']]
    assert found['score'] == max(found['scores']) and found['input'] is None


@task('segmentation')
def test_masks(weights, tmp_path):
    """Against the network called by hand: red first, normalised, its logits enlarged to the picture."""
    model, _, _ = weights
    image = photo(0, 48, 64)  # as large as the resize asks for, and divisible by 16: nothing is padded
    found, = SegmentationInferencer('tiny', 'cpu')(image)['predictions']
    x = (torch.tensor(image).permute(2, 0, 1).float() - torch.tensor([120., 110, 100]).view(3, 1, 1)) \
        / torch.tensor([60., 50, 70]).view(3, 1, 1)
    logits = torch.nn.functional.interpolate(model(x[None]), (48, 64), mode='bilinear', align_corners=False)
    assert (found['mask'] == logits[0].argmax(0).numpy()).mean() == 1 and found['mask'].dtype == np.uint8
    assert sum(found['shares'].values()) == pytest.approx(1) and len(found['shares']) > 1
    assert list(found['shares'].values()) == sorted(found['shares'].values(), reverse=True)
    for i, name in enumerate(CLASSES):
        assert found['shares'].get(name, 0) == (found['mask'] == i).mean()


@task('classification', 'segmentation')
def test_batches_change_nothing(weights, folder):
    infer = CLASSES_OF[weights[2]](weights[1], 'cpu')
    single = infer(folder)['predictions']
    assert [Path(found['input']).name for found in single] == ['0.png', '1.png', '2.png']
    assert not same(single[0], single[1])
    for size in (2, 3, 8):
        assert all(map(same, single, infer(folder, batch_size=size)['predictions']))


@task('classification', 'segmentation')
def test_whatever_a_picture_comes_as(weights, folder):
    infer = CLASSES_OF[weights[2]]('zoo:tiny', 'cpu')
    path = folder / '2.png'
    for given in (path, str(path), [path], (str(path),), Image.open(path), np.asarray(Image.open(path))):
        found = infer(given)
        assert same(found['predictions'][0], infer(path)['predictions'][0]) and found['visualization'] is None
    assert len(infer([folder, path])['predictions']) == 4 and infer([])['predictions'] == []


@task('classification', 'segmentation')
def test_addresses(weights, folder, server):  # noqa: F811
    infer = CLASSES_OF[weights[2]]('tiny', 'cpu')
    server.content = (folder / '0.png').read_bytes()
    url = server.url.replace('data.zip', '0.png')
    found, = infer(url)['predictions']
    assert same(found, infer(folder / '0.png')['predictions'][0]) and found['input'] == url
    server.acts += [404]
    with pytest.raises(DataError, match=f'picture {url} cannot be fetched: .*404'):
        infer(url)
    server.acts += ['html']
    with pytest.raises(DataError, match=f'picture {url} is damaged, or no picture'):
        infer(url)


def test_an_address_that_stalls_or_floods(server, monkeypatch):  # noqa: F811
    monkeypatch.setattr('a2sg_zoo.inference._SECONDS', .2)
    server.acts += ['silent']
    with pytest.raises(DataError, match='cannot be fetched: timed out'):
        read_image(server.url)
    monkeypatch.setattr('a2sg_zoo.inference._LARGEST', 1000)
    with pytest.raises(DataError, match='is larger than'):
        read_image(server.url)


@task('classification')
def test_pictures_of_classes(weights, folder, tmp_path):
    again = tmp_path / 'elsewhere' / '0.png'
    again.parent.mkdir()
    again.write_bytes((folder / '1.png').read_bytes())
    found = ImageClassifierInferencer('tiny', 'cpu')([folder, again, photo()], out_dir=tmp_path / 'out' / 'deep')
    assert [path.name for path in found['visualization']] == ['0.png', '1.png', '2.png', '0_2.png', 'image.png']
    sheet = np.asarray(Image.open(found['visualization'][0]))
    assert sheet.shape == (256 + 24, 256, 3) and sheet[256:].min() < 128
    assert np.array_equal(sheet[:256:8, ::8], np.asarray(Image.open(folder / '0.png')))
    assert 'picture' not in found['predictions'][0]


@task('segmentation')
def test_pictures_of_masks(weights, folder, tmp_path):
    found = SegmentationInferencer('tiny', 'cpu')(folder, out_dir=tmp_path / 'out')
    for prediction, path in zip(found['predictions'], found['visualization']):
        mask = Image.open(path.with_name(f'{path.stem}_mask.png'))
        assert np.array_equal(np.asarray(mask), prediction['mask']) and mask.getpalette()[:9] == sum(PALETTE, [])
        image = np.asarray(Image.open(prediction['input']))
        tinted = .4 * image + .6 * np.array(PALETTE)[prediction['mask']]
        assert np.abs(np.asarray(Image.open(path)) - tinted).max() <= 1


def description(weights, resize):
    """The weights with another `resize` in their metadata, and no index."""
    from dataclasses import replace

    from a2sg_zoo.zoo.published import read, save
    found, old = read(weights[1])
    path = weights[1].with_name('other.safetensors')
    save(found, replace(old, resize=resize), path)
    return path


@task('classification')
def test_the_middle_of_a_picture(weights):
    """An enlarged picture of 64 x 96 whose middle has one colour."""
    path = description(weights, dict(shorter=64, crop=32))
    image = np.zeros((32, 48, 3), np.uint8)
    image[4:28, 12:36] = (200, 100, 50)
    plain = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    cropped, = ImageClassifierInferencer(path, 'cpu')(image)['predictions']
    assert same(cropped, ImageClassifierInferencer('tiny', 'cpu')(plain)['predictions'][0])
    assert not same(cropped, ImageClassifierInferencer('tiny', 'cpu')(image)['predictions'][0])


@task('classification', 'segmentation')
@pytest.mark.parametrize('resize', [dict(size='big'), dict(colour=3)])
def test_metadata_that_do_not_say_how_to_resize(weights, resize):
    with pytest.raises(ConfigError, match='do not say how a picture .*resize = '):
        inferencer(description(weights, resize), 'cpu')


@task('classification')
def test_networks_that_take_events(weights):
    with pytest.raises(ConfigError, match='events take none'):
        inferencer(description(weights, {}), 'cpu')


def test_exif(tmp_path):
    image = Image.fromarray(photo(0, 20, 30))
    exif = image.getexif()
    exif[274] = 6  # the camera was turned
    image.save(tmp_path / 'turned.png', exif=exif)
    assert np.array_equal(read_image(tmp_path / 'turned.png'), np.rot90(np.asarray(image), 3))


def test_grey_and_transparent(tmp_path):
    grey = photo()[..., 0]
    assert np.array_equal(read_image(grey), np.stack([grey] * 3, 2))
    Image.fromarray(grey).save(tmp_path / 'grey.png')
    assert np.array_equal(read_image(tmp_path / 'grey.png'), np.stack([grey] * 3, 2))
    assert read_image(Image.new('RGBA', (3, 2))).shape == (2, 3, 3)


@pytest.mark.parametrize('source, message', [
    (np.zeros((4, 4, 3)), 'uint8, .* got float64'), (np.zeros((4, 4, 4), np.uint8), r'got uint8 \(4, 4, 4\)'),
    (np.zeros((0, 4, 3), np.uint8), 'got uint8'), (3, 'got a int'),
    ('absent.jpg', 'absent.jpg cannot be read: No such'),
])
def test_what_is_no_picture(source, message):
    with pytest.raises(DataError, match=message):
        read_image(source)


def test_damaged_pictures(tmp_path):
    data = io.BytesIO()
    Image.fromarray(photo(0, 200, 200)).save(data, 'jpeg')
    for content in (data.getvalue()[:1500], b'', b'text'):
        (tmp_path / 'x.jpg').write_bytes(content)
        with pytest.raises(DataError, match='x.jpg is damaged, or no picture'):
            read_image(tmp_path / 'x.jpg')


@task('classification')
def test_mistakes(weights, tmp_path, folder):
    with pytest.raises(ConfigError, match='is for classification, but SegmentationInferencer does segmentation'):
        SegmentationInferencer('tiny')
    with pytest.raises(ConfigError, match='did you mean tiny'):
        inferencer('tinny')
    with pytest.raises(ConfigError, match="device 'cuda:99' cannot be used"):
        ImageClassifierInferencer('tiny', 'cuda:99')
    infer = inferencer('tiny', 'cpu')
    assert type(infer) is ImageClassifierInferencer
    with pytest.raises(ConfigError, match='batch_size must be'):
        infer(folder, batch_size=0)
    with pytest.raises(DataError, match='holds no picture NAME.jpg'):
        infer(tmp_path / 'zoo')
    (tmp_path / 'file').write_text('')
    with pytest.raises(DataError, match='no pictures can be written to'):
        infer(folder, out_dir=tmp_path / 'file' / 'out')


@task('classification', 'segmentation')
def test_tool(weights, folder, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location('predict', ROOT / 'tools' / 'predict.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.main(['tiny', str(folder), str(folder / '0.png'), '--out', str(tmp_path / 'out'), '--batch-size', '2',
               '--device', 'cpu'])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(': ')[0] for line in lines] == [*(str(folder / f'{i}.png') for i in range(3)),
                                                      str(folder / '0.png')]
    assert lines[0] == lines[3] and all(name in lines[0] for name in CLASSES[:1] if weights[2] == 'classification')
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert len(results) == 4 and (tmp_path / 'out' / '0_2.png').exists()
    with pytest.raises(SystemExit) as end:
        tool.main(['tiny', 'absent.png'])
    assert end.value.code == 2 and 'error: picture absent.png cannot be read' in capsys.readouterr().err
