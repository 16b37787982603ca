"""Inferencers of published weights."""

import importlib.util
import json
import re
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
from torchvision.transforms import v2

from a2sg_zoo.apis.inference import ImageClassifierInferencer, SegmentationInferencer, fit, inferencer
from a2sg_zoo.apis.sources import read_image
from a2sg_zoo.cli.predict import main
from a2sg_zoo.errors import A2SGError, CheckpointError, ConfigError, DataError, NonFiniteError
from a2sg_zoo.hub.published import Description, build, read, save
from tests.apis.pictures import CLASSES_OF, photo, same, task
from tests.hub.tiny import CLASSES, CLASSIFIER

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.mark.parametrize('number', [2, 3])
def test_the_interpolation_is_that_of_the_test(number):
    image = photo(height=48, width=64)
    tensor = torch.tensor(image).permute(2, 0, 1)
    for size, arguments in ((96, dict(shorter=96, crop=96)), ((96, 96), dict(size=96))):
        seen = v2.CenterCrop(96)(v2.Resize(size, number)(tensor)).permute(1, 2, 0).int().numpy()
        found = np.array(fit(Image.fromarray(image), **arguments, interpolation=number)).astype(int)
        assert np.abs(found - seen).mean() < 0.1


def test_pictures_are_grey_for_a_network_of_one_channel(tmp_path):
    backbone = dict(CLASSIFIER['backbone'], in_channels=1)
    preprocessor = dict(type='ImgDataPreprocessor', mean=[33.0], std=[78.0])
    model = dict(CLASSIFIER, backbone=backbone, data_preprocessor=preprocessor)
    facts = Description('classification', model, CLASSES, dict(size=28), [])
    save(build(model, 'test').state_dict(), facts, tmp_path / 'grey.safetensors')
    infer = ImageClassifierInferencer(tmp_path / 'grey.safetensors', 'cpu')
    image = np.repeat(photo(0, 28, 28)[..., :1], 3, 2)
    assert np.array_equal(infer.preprocess_image(image)['inputs'][0], image[..., 0])
    assert infer(photo(0, 40, 30))['predictions'][0]['name'] in CLASSES


@task('segmentation')
@pytest.mark.parametrize(
    'resize, shape',
    [(dict(scale_factor=0.5), (16, 32)), (dict(scale_factor=[0.5, 1.0]), (32, 32)), (dict(scale=48), (48, 48))],
)
def test_every_way_to_resize_a_picture_for_a_segmentation(weights, resize, shape):
    infer = SegmentationInferencer(description(weights, resize), 'cpu')
    assert infer.preprocess_image(photo(0, 32, 64))['inputs'].shape == (3, *shape)


@task('segmentation')
def test_a_factor_that_makes_a_picture_too_large(weights):
    infer = SegmentationInferencer(description(weights, dict(scale_factor=16.0)), 'cpu')
    with pytest.raises(DataError, match='512 x 256.*16.0'):
        infer(photo(0, 256, 512))


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


def spoil(weights, change):
    """The weights with a change in their tensors or their description; no check of loading stands in between."""
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
    def fails(*args, **kwargs):
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
