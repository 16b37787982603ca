import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mmcv
import numpy as np
import pooch
import pytest
import safetensors.torch
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

import a2sg_zoo
from a2sg_zoo.apis.inference import ImageClassifierInferencer, SegmentationInferencer, inferencer
from a2sg_zoo.apis.sources import read_image
from a2sg_zoo.cli.predict import main
from a2sg_zoo.errors import A2SGError, CheckpointError, ConfigError, DataError, NonFiniteError
from tests.hub.misbehaving import server  # noqa: F401
from tests.hub.tiny import CLASSES, PALETTE, publish

ROOT = Path(__file__).resolve().parents[2]
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
    (found,) = ImageClassifierInferencer('tiny', 'cpu')(image)['predictions']
    x = (torch.tensor(image).permute(2, 0, 1).float() - torch.tensor([120.0, 110, 100]).view(3, 1, 1)) / torch.tensor(
        [60.0, 50, 70]
    ).view(3, 1, 1)
    expected = model(x[None])[:, 0].mean(0).softmax(0)
    assert np.allclose(found['scores'], expected.detach(), atol=1e-6)
    assert found['label'] == expected.argmax() and found['name'] == CLASSES[found['label']]
    assert found['score'] == max(found['scores']) and found['input'] is None


@task('segmentation')
def test_masks(weights, tmp_path):
    """Against the network called by hand: red first, normalised, its logits enlarged to the picture."""
    model, _, _ = weights
    image = photo(0, 48, 64)  # as large as the resize asks for, and divisible by 16: nothing is padded
    (found,) = SegmentationInferencer('tiny', 'cpu')(image)['predictions']
    x = (torch.tensor(image).permute(2, 0, 1).float() - torch.tensor([120.0, 110, 100]).view(3, 1, 1)) / torch.tensor(
        [60.0, 50, 70]
    ).view(3, 1, 1)
    logits = torch.nn.functional.interpolate(model(x[None]), (48, 64), mode='bilinear', align_corners=False)
    assert (found['mask'] == logits[0].argmax(0).numpy()).mean() == 1 and found['mask'].dtype == np.uint8
    assert sum(found['shares'].values()) == pytest.approx(1) and len(found['shares']) > 1
    assert list(found['shares'].values()) == sorted(found['shares'].values(), reverse=True)
    for i, name in enumerate(CLASSES):
        assert found['shares'].get(name, 0) == (found['mask'] == i).mean()


@task('segmentation')
@pytest.mark.parametrize('height, width, factor', [(480, 640, 10), (640, 480, 10), (16, 16, 1 / 3)])
def test_masks_are_decided_at_the_size_that_the_network_sees(weights, height, width, factor):
    infer = SegmentationInferencer('tiny', 'cpu')
    image = photo(0, height, width)
    (found,) = infer(image)['predictions']
    small = mmcv.imresize(image, (round(width / factor), round(height / factor)))
    (seen,) = infer(small)['predictions']
    assert sorted(seen['mask'].shape) == ([48, 64] if factor == 10 else [48, 48]) and len(seen['shares']) > 1
    expected = seen['mask'].repeat(10, 0).repeat(10, 1) if factor == 10 else seen['mask'][1::3, 1::3]
    assert np.array_equal(found['mask'], expected)
    for i, name in enumerate(CLASSES):
        assert found['shares'].get(name, 0) == (expected == i).mean()


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
    (found,) = infer(url)['predictions']
    assert same(found, infer(folder / '0.png')['predictions'][0]) and found['input'] == url
    server.acts += [404]
    with pytest.raises(DataError, match=f'{url}.*404'):
        infer(url)
    server.acts += ['drop']
    with pytest.raises(DataError, match=url):
        infer(url)


@pytest.mark.parametrize(
    'act, named',
    [
        (500, '500'),
        ('html', 'web page'),
        ('drop', ''),
        ('silent', '1 s'),
        ('stall', '1 s'),
        ('drip', '2 s'),
        ('no http', 'SSH'),
    ],
)
def test_addresses_that_fail(server, monkeypatch, act, named):  # noqa: F811
    monkeypatch.setattr('a2sg_zoo.apis.sources._STALL', 1)
    monkeypatch.setattr('a2sg_zoo.apis.sources._SECONDS', 2)
    server.acts += [act]
    with pytest.raises(DataError, match=f'{server.url}.*{named}'):
        read_image(server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    'url', ['http://127.0.0.1:9/x.png', 'http://', 'http://[::1/x.png', 'https://127.0.0.1:port/x.png']
)
def test_addresses_of_nobody(url, monkeypatch):
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY', 'https_proxy', 'HTTPS_PROXY'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DataError, match=re.escape(url)):
        read_image(url)


@task('classification')
def test_a_password_in_an_address_is_not_shown(weights, folder, server):  # noqa: F811
    infer = ImageClassifierInferencer('tiny', 'cpu')
    server.content = (folder / '0.png').read_bytes()
    url = server.url.replace('http://', 'http://me:secret@').replace('data.zip', '0.png?token=hidden')
    (found,) = infer(url)['predictions']
    assert same(found, infer(folder / '0.png')['predictions'][0])
    server.content = b'no picture'
    errors = [found['input'], *infer([url], keep_going=True)['errors']]
    server.acts += [404]
    errors += infer([url], keep_going=True)['errors']
    assert len(errors) == 3 and all('0.png' in text for text in errors)
    assert not any(word in text for text in errors for word in ('secret', 'hidden'))


def test_a_flood(server, monkeypatch):  # noqa: F811
    monkeypatch.setattr('a2sg_zoo.apis.sources._LARGEST', 1000)
    with pytest.raises(DataError, match=server.url):
        read_image(server.url)


def test_addresses_in_other_spellings(server, folder, tmp_path):  # noqa: F811
    expected = read_image(folder / '0.png')
    server.content = (folder / '0.png').read_bytes()
    assert np.array_equal(read_image(server.url.replace('http:', 'HTTP:')), expected)
    read_image(server.url.replace('data.zip', 'große katze.png'))
    assert server.requests[1][0] == '/files/gro%C3%9Fe%20katze.png'
    (tmp_path / 'a b.png').write_bytes(server.content)
    assert np.array_equal(read_image((tmp_path / 'a b.png').as_uri()), expected)
    with pytest.raises(DataError, match='absent.png'):
        read_image((tmp_path / 'absent.png').as_uri())


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
        tinted = 0.4 * image + 0.6 * np.array(PALETTE)[prediction['mask']]
        assert np.abs(np.asarray(Image.open(path)) - tinted).max() <= 1


@task('segmentation')
def test_results_do_not_overwrite_each_other(weights, tmp_path):
    for i, name in enumerate(['a.png', 'a_mask.png', 'a#1.png']):
        Image.fromarray(photo(i)).save(tmp_path / name)
    found = SegmentationInferencer('tiny', 'cpu')(tmp_path, out_dir=tmp_path / 'out')
    assert [path.name for path in found['visualization']] == ['a#1.png', 'a.png', 'a_mask_2.png']
    for prediction, path in zip(found['predictions'], found['visualization']):
        mask = np.asarray(Image.open(path.with_name(f'{path.stem}_mask.png')))
        assert np.array_equal(mask, prediction['mask'])


@task('classification', 'segmentation')
def test_results_do_not_overwrite_pictures(weights, folder, tmp_path):
    infer = CLASSES_OF[weights[2]]('tiny', 'cpu')
    before = {path: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / 'link').symlink_to(folder)
    for out in (folder, tmp_path / 'link'):
        with pytest.raises(DataError, match='0.png'):
            infer(folder, out_dir=out)
        with pytest.raises(DataError, match='1.png'):
            infer([np.zeros((8, 8, 3), np.uint8), (folder / '1.png').as_uri()], out_dir=out)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@task('segmentation')
def test_a_mask_that_would_overwrite_a_picture(weights, tmp_path):
    for name in ('a.jpg', 'a_mask.png'):
        Image.fromarray(photo()).save(tmp_path / name)
    with pytest.raises(DataError, match='a_mask.png'):
        SegmentationInferencer('tiny', 'cpu')([tmp_path / 'a.jpg', tmp_path / 'a_mask.png'], out_dir=tmp_path)


@task('segmentation')
def test_more_classes_than_a_byte_counts(weights, tmp_path):
    infer = SegmentationInferencer('tiny', 'cpu')
    palette = np.random.default_rng(0).integers(0, 256, (300, 3)).tolist()
    infer.description = replace(infer.description, classes=[str(i) for i in range(300)], palette=palette)
    labels = torch.tensor([[0, 255, 256, 299]] * 2)
    sample = SegDataSample(pred_sem_seg=PixelData(data=labels[None]))
    enlarged = infer.predict(sample, np.zeros((4, 8, 3), np.uint8))['mask']
    assert np.array_equal(enlarged, labels.numpy().repeat(2, 0).repeat(2, 1)) and enlarged.dtype == np.uint16
    prediction = infer.predict(sample, np.zeros((2, 4, 3), np.uint8))
    assert np.array_equal(prediction['mask'], labels) and prediction['shares'] == dict.fromkeys(
        ['0', '255', '256', '299'], 0.25
    )
    path = infer.draw(np.zeros((2, 4, 3), np.uint8), prediction, tmp_path / 'x')
    assert np.array_equal(Image.open(tmp_path / 'x_mask.png'), labels)
    assert np.abs(np.asarray(Image.open(path)) - 0.6 * np.array(palette)[labels]).max() <= 1


@task('classification')
def test_bad_pictures_are_left_out_when_asked(weights, folder, tmp_path):
    infer = ImageClassifierInferencer('tiny', 'cpu')
    good = infer(folder, out_dir=tmp_path / 'good')
    assert good['errors'] == []
    (folder / '0b.png').write_bytes(b'no picture')
    with pytest.raises(DataError, match='0b.png'):
        infer(folder)
    for size in (1, 8):
        found = infer(
            [folder, 'absent.png', 'x' * 300 + '.png', 'a\0.png'], size, tmp_path / f'out{size}', keep_going=True
        )
        assert [Path(prediction['input']).name for prediction in found['predictions']] == ['0.png', '1.png', '2.png']
        assert all(map(same, found['predictions'], good['predictions']))
        assert [path.name for path in found['visualization']] == ['0.png', '1.png', '2.png']
        assert len(found['errors']) == 4 and '0b.png' in found['errors'][0] and 'absent.png' in found['errors'][1]


@task('classification')
def test_the_weights_are_hashed_once(weights, monkeypatch):
    hashed = []
    file_hash = pooch.file_hash
    monkeypatch.setattr(pooch, 'file_hash', lambda path, alg: (hashed.append(path), file_hash(path, alg))[1])
    inferencer('tiny', 'cpu')
    assert hashed == [weights[1]]


@task('segmentation')
def test_a_picture_of_which_nothing_is_left(weights, tmp_path):
    infer = SegmentationInferencer('tiny', 'cpu')
    narrow = np.zeros((1, 150, 3), np.uint8)
    with pytest.raises(DataError, match='150 x 1.* resize = '):
        infer(narrow)
    Image.fromarray(narrow).save(tmp_path / 'line.png')
    found = infer([tmp_path / 'line.png', photo()], keep_going=True)
    assert len(found['predictions']) == 1 and 'line.png' in found['errors'][0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no CUDA device')
@task('classification', 'segmentation')
def test_cuda(weights, folder):
    infer = CLASSES_OF[weights[2]]('tiny')
    assert next(infer.model.parameters()).is_cuda
    for found, expected in zip(
        infer(folder, batch_size=2)['predictions'], CLASSES_OF[weights[2]]('tiny', 'cpu')(folder)['predictions']
    ):
        if weights[2] == 'classification':  # a rounding may make a neuron fire that does not on the CPU
            assert np.allclose(found['scores'], expected['scores'], atol=0.05)
        else:
            assert (found['mask'] == expected['mask']).mean() > 0.95


def description(weights, resize):
    """The weights with another `resize` in their metadata, and no index."""
    from a2sg_zoo.hub.published import read, save

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
    (cropped,) = ImageClassifierInferencer(path, 'cpu')(image)['predictions']
    assert same(cropped, ImageClassifierInferencer('tiny', 'cpu')(plain)['predictions'][0])
    assert not same(cropped, ImageClassifierInferencer('tiny', 'cpu')(image)['predictions'][0])


@task('classification', 'segmentation')
@pytest.mark.parametrize('resize', [dict(size='big'), dict(colour=3)])
def test_metadata_that_do_not_say_how_to_resize(weights, resize):
    with pytest.raises(A2SGError, match='resize = '):
        inferencer(description(weights, resize), 'cpu')


@task('classification')
def test_networks_that_take_events(weights):
    with pytest.raises(ConfigError, match='resize = {}'):
        inferencer(description(weights, {}), 'cpu')


def test_grey_arrays():
    grey = photo()[..., 0]
    assert np.array_equal(read_image(grey), np.stack([grey] * 3, 2))


@task('classification', 'segmentation')
def test_only_results_of_this_tool_are_replaced(weights, folder, tmp_path):
    """Photographs, masks, other programs' pictures, links and folders stay what they are."""
    infer, out = CLASSES_OF[weights[2]]('tiny', 'cpu'), tmp_path / 'out'
    first = infer(folder, out_dir=out)['visualization']
    assert infer(folder, out_dir=out)['visualization'] == first
    for ending in infer.endings:
        name = f'0{ending}'
        for i, make in enumerate(
            [
                lambda path: path.write_bytes((folder / '1.png').read_bytes()),
                lambda path: path.symlink_to(folder / 'notes.txt'),
                lambda path: path.mkdir(),
                lambda path: path.symlink_to(path),
            ]
        ):
            elsewhere = tmp_path / f'{i}{ending}'
            elsewhere.mkdir()
            make(elsewhere / name)
            before = {path: path.is_file() and path.read_bytes() for path in elsewhere.iterdir()}
            with pytest.raises(ConfigError, match=name):
                infer(folder, out_dir=elsewhere)
            assert {path: path.is_file() and path.read_bytes() for path in elsewhere.iterdir()} == before


def spoil(weights, change):
    """The weights with a change in their tensors or their description; no check of loading stands in between."""
    from a2sg_zoo.hub.published import read, save

    found, description = read(weights[1])
    path = weights[1].with_name('spoilt.safetensors')
    save(found, change(found, description) or description, path)
    return path


@task('classification', 'segmentation')
@pytest.mark.parametrize('mean, std', [(float('nan'), 60.0), (120.0, 0.0), (float('inf'), 60.0), (120.0, float('nan'))])
def test_a_preprocessor_that_makes_nan(weights, mean, std, monkeypatch):
    infer = CLASSES_OF[weights[2]]('tiny', 'cpu')
    infer.model.data_preprocessor.mean.fill_(mean)
    infer.model.data_preprocessor.std.fill_(std)
    with pytest.raises(CheckpointError, match=f'{weights[1]}.*data_preprocessor'):
        infer(np.full((32, 32, 3), 120, np.uint8))


@task('classification', 'segmentation')
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_answers_that_are_not_finite(weights, value, folder):
    infer = CLASSES_OF[weights[2]]('tiny', 'cpu')
    last = [x for name, x in infer.model.named_parameters() if 'head' in name][-1]
    last.data[0] = value
    with pytest.raises(NonFiniteError, match='0.png'):
        infer(folder, keep_going=True)


@task('classification')
def test_classes_that_cannot_be_told_apart(weights):
    path = spoil(weights, lambda found, old: replace(old, classes=['ant', 'bee', 'ant']))
    with pytest.raises(A2SGError, match='spoilt.*ant'):
        ImageClassifierInferencer(path, 'cpu')


@task('classification')
def test_names_of_classes_do_not_control_a_terminal(weights, folder, tmp_path, capsys):
    path = spoil(weights, lambda found, old: replace(old, classes=['ant\x1b[2J', 'bee\r', 'c\nat']))
    main([str(path), str(folder / '0.png'), '--out', str(tmp_path / 'out')])
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 1 and not {'\x1b', '\r'} & set(printed) and 'x1b' in printed
    (found,) = json.loads((tmp_path / 'out' / 'results.json').read_text())['predictions']
    assert found['name'] in (r'ant\x1b[2J', r'bee\r', r'c\nat')


@task('segmentation')
def test_a_picture_that_nothing_resizes(weights, tmp_path):
    infer = SegmentationInferencer(description(weights, {}), 'cpu')
    Image.new('RGB', (4096, 4097)).save(tmp_path / 'large.png')
    with pytest.raises(DataError, match='large.png'):
        infer(tmp_path / 'large.png')


@task('classification')
def test_a_strip_is_not_enlarged_without_bound(weights, tmp_path):
    infer = ImageClassifierInferencer(description(weights, dict(shorter=1000, crop=32)), 'cpu')
    Image.new('RGB', (1, 150)).save(tmp_path / 'strip.png')
    with pytest.raises(DataError, match='strip.png'):
        infer(tmp_path / 'strip.png')


@pytest.mark.parametrize(
    'source, named',
    [
        ('a\0.png', 'a\0.png'),
        ('file:///a%00.png', 'a\0.png'),
        ('x' * 300 + '.png', 'xxx.png'),
        (np.zeros((4, 4, 3)), 'float64'),
        (np.zeros((4, 4, 4), np.uint8), r'\(4, 4, 4\)'),
        (np.zeros((0, 4, 3), np.uint8), r'\(0, 4, 3\)'),
        (3, 'int'),
        ('absent.jpg', 'absent.jpg'),
    ],
)
def test_what_is_no_picture(source, named):
    with pytest.raises(DataError, match=named):
        read_image(source)


def test_damaged_pictures(tmp_path):
    data = io.BytesIO()
    Image.fromarray(photo(0, 200, 200)).save(data, 'jpeg')
    for content in (data.getvalue()[:1500], b'', b'text'):
        (tmp_path / 'x.jpg').write_bytes(content)
        with pytest.raises(DataError, match='x.jpg'):
            read_image(tmp_path / 'x.jpg')


@task('classification')
def test_mistakes(weights, tmp_path, folder):
    with pytest.raises(ConfigError, match='SegmentationInferencer.*segmentation'):
        SegmentationInferencer('tiny')
    with pytest.raises(ConfigError, match=' tiny'):
        inferencer('tinny')
    with pytest.raises(ConfigError, match='cuda:99'):
        ImageClassifierInferencer('tiny', 'cuda:99')
    infer = inferencer('tiny', 'cpu')
    assert type(infer) is ImageClassifierInferencer
    with pytest.raises(ConfigError, match='batch_size'):
        infer(folder, batch_size=0)
    with pytest.raises(DataError, match=str(tmp_path / 'zoo')):
        infer(tmp_path / 'zoo')
    (tmp_path / 'file').write_text('')
    with pytest.raises(ConfigError, match=str(tmp_path / 'file' / 'out')):
        infer(folder, out_dir=tmp_path / 'file' / 'out')


@task('classification')
def test_weights_that_do_not_fit_are_no_fault_of_the_device(weights):
    """A window in two dimensions, which no neuron takes."""
    found = safetensors.torch.load_file(weights[1])
    name = next(name for name in found if name.endswith('.beta'))
    path = weights[1].with_name('other.safetensors')
    metadata = safetensors.safe_open(weights[1], 'pt').metadata()
    safetensors.torch.save_file({**found, name: torch.ones(2, 2)}, path, metadata)
    with pytest.raises(CheckpointError, match=re.escape(name)):
        ImageClassifierInferencer(path, 'cpu')


@task('classification')
def test_errors_of_loading_are_no_fault_of_the_device(weights, monkeypatch):
    def fails(*args):
        raise RuntimeError('of something else')

    monkeypatch.setattr('a2sg_zoo.hub.published.load_into', fails)
    with pytest.raises(RuntimeError, match='of something else'):
        ImageClassifierInferencer('tiny', 'cpu')


@task('classification', 'segmentation')
def test_tool(weights, folder, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location('predict', ROOT / 'a2sg_zoo' / 'cli' / 'predict.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    capsys.readouterr()  # imports may print, too
    tool.main(
        [
            'tiny',
            str(folder),
            str(folder / '0.png'),
            '--out',
            str(tmp_path / 'out'),
            '--batch-size',
            '2',
            '--device',
            'cpu',
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(': ')[0] for line in lines] == [
        *(str(folder / f'{i}.png') for i in range(3)),
        str(folder / '0.png'),
    ]
    assert lines[0] == lines[3] and all(name in lines[0] for name in CLASSES[:1] if weights[2] == 'classification')
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())['predictions']
    assert len(results) == 4 and (tmp_path / 'out' / '0_2.png').exists()
    (folder / '1.png').write_bytes(b'no picture')
    with pytest.raises(SystemExit) as end:
        tool.main(['tiny', str(folder), '--out', str(tmp_path / 'again'), '--device', 'cpu'])
    printed = capsys.readouterr()
    assert end.value.code == 2 and 'error: ' in printed.err and str(folder / '1.png') in printed.err
    assert printed.out.splitlines() == [lines[0], lines[2]]
    assert [
        result['input'] for result in json.loads((tmp_path / 'again' / 'results.json').read_text())['predictions']
    ] == [str(folder / '0.png'), str(folder / '2.png')]
    with pytest.raises(SystemExit) as end:
        tool.main(['tiny', 'absent.png'])
    assert end.value.code == 2 and re.search('^error: .*absent.png', capsys.readouterr().err, re.M)


@task('classification')
def test_credentials_of_a_picture_stay_in_the_request(weights, server, tmp_path):  # noqa: F811
    Image.fromarray(photo()).save(tmp_path / 'cat.png')
    server.content = (tmp_path / 'cat.png').read_bytes()
    url = server.url.replace('http://', 'http://me:hunter2@') + '?token=t0ken'
    (prediction,) = inferencer('tiny', 'cpu')(url)['predictions']
    assert 'Authorization' in server.requests[0][1]
    server.acts += [404]
    with pytest.raises(DataError) as error:
        read_image(url)
    server.content = b'no picture'
    with pytest.raises(DataError) as damaged:
        read_image(url)
    for text in (prediction['input'], str(error.value), str(damaged.value)):
        assert 'hunter2' not in text and 't0ken' not in text and 'data.zip' in text


SIZES = """if True:
    import sys
    import numpy as np
    from a2sg_zoo import SegmentationInferencer
    infer, rng = SegmentationInferencer('meta_spikeformer_small_camvid_a2sg', 'cpu'), np.random.default_rng(0)
    for i in range(100):
        infer(np.zeros((*rng.integers(120, 400, 2), 3), np.uint8))
        if i in (59, 99):
            print(int(open('/proc/self/statm').read().split()[1]) * 4096 // 10**6)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='reads the memory of a process as Linux tells it')
def test_pictures_of_many_sizes_do_not_fill_the_memory():
    """Each size is compiled once; without a bound, 100 sizes more take some 300 MB more."""
    printed = subprocess.check_output([sys.executable, '-c', SIZES], text=True, cwd=ROOT).splitlines()
    at_60, at_100 = (int(line) for line in printed if line.isdigit())
    assert at_100 - at_60 < 60


@task('classification')
@pytest.mark.parametrize('given, kept', [(None, '256'), ('7', '7')])
def test_the_cache_of_compiled_layers_is_bounded(weights, given, kept, monkeypatch):
    name = 'ONEDNN_PRIMITIVE_CACHE_CAPACITY'
    monkeypatch.delenv(name, raising=False) if given is None else monkeypatch.setenv(name, given)
    ImageClassifierInferencer('tiny', 'cpu')
    assert os.environ[name] == kept
