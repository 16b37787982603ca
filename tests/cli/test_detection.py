"""A detector from a config to pictures: trained with A2SG, resumed, tested, published, used and refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip('pycocotools')

import a2sg_zoo
from a2sg_zoo.apis.inference import inferencer
from a2sg_zoo.cli import predict, test, train
from a2sg_zoo.datasets.miniature.objects import write_objects
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.engine.run import train as train_run
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.hub.checkpoint import read_checkpoint
from a2sg_zoo.publishing.publish import publish

CONFIG = 'configs/meta_spikeformer_mask_rcnn_coco_a2sg.py'


def options(root):
    """The network of the config, small enough for a test, and few pictures."""
    data = [
        f'{loader}_dataloader.dataset.{key}'
        for loader in ('train', 'val', 'test')
        for key in (f'data_root={root}', 'train=6', 'val=3', 'size=64')
    ]
    network = ['embed_dims=[8,8,16,16]', 'depths=[1,1]', 'num_heads=2', 'T=2']
    head = ['in_channels=16', 'fc_channels=16', 'mask_channels=8', 'anchor_sizes=[8,16,32,64,128]', 'score_thresh=0.01']
    return [
        '--demo',
        '--cfg-options',
        *(f'model.backbone.{option}' for option in network),
        'model.neck.in_channels=[8,8,16]',
        'model.neck.out_channels=16',
        *(f'model.detection_head.{option}' for option in head),
        *data,
        'train_dataloader.batch_size=2',
        'train_cfg.max_iters=4',
        'train_cfg.val_interval=4',
        'default_hooks.checkpoint.interval=2',
        'default_hooks.pictures.score=0.0',
        'adaptation.log_interval=2',
        'adaptation.policy.interval=2',
        'adaptation.policy.searcher.trials=4',
        'ema.momentum=0.01',
    ]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp('detection')
    train.main([CONFIG, '--work-dir', str(root / 'run'), *options(root / 'data')])
    return root


def test_a_run_leaves_scores_widths_and_pictures(trained):
    (scores,) = [json.loads(line) for line in (trained / 'run' / 'evaluations.jsonl').read_text().splitlines()]
    assert {'bbox_mAP', 'segm_mAP'} <= {*json.dumps(scores).replace('"', ' ').split()}
    log = (trained / 'run' / 'adaptation.jsonl').read_text()
    assert 'backbone.' in log and 'neck.output' in log
    assert Image.open(trained / 'run' / 'pictures' / 'iter_4.png').width > 64


def test_a_resumed_run_ends_at_the_same_weights(trained, tmp_path):
    run = ['--work-dir', str(tmp_path / 'run'), *options(trained / 'data')]
    train.main([CONFIG, '--resume', str(trained / 'run' / 'iter_2.pth'), *run])
    for key in ('state_dict', 'ema_state_dict'):
        expected, found = (read_checkpoint(root / 'run' / 'iter_4.pth')[key] for root in (trained, tmp_path))
        assert expected.keys() == found.keys()
        assert all(torch.equal(torch.as_tensor(expected[name]), torch.as_tensor(found[name])) for name in expected)


def test_scores_and_pictures_of_a_test(trained, tmp_path):
    out, show = tmp_path / 'result.json', tmp_path / 'show'
    arguments = ['--work-dir', str(trained / 'run'), '--out', str(out), '--show-dir', str(show)]
    test.main([CONFIG, 'last', *arguments, *options(trained / 'data')])
    result = json.loads(out.read_text())
    assert 0 <= result['metrics']['segm_mAP'] <= 100
    assert [row['class'] for row in result['per_class']] == ['person', 'car']
    names = sorted(path.name for path in show.iterdir())
    assert names == [f'scene_{10**6 + i:08d}.png' for i in range(3)] + ['sheet.png']
    panel = np.asarray(Image.open(show / names[0]))
    assert panel.shape == (64, 192, 3)
    image, truth = panel[:, :64].astype(int), panel[:, 64:128].astype(int)
    assert (image != truth).any() and (image == truth).any()  # boxes and masks are drawn on the picture


def test_predictions(trained, tmp_path, capsys):
    checkpoint, picture = trained / 'run' / 'iter_4.pth', trained / 'data' / 'val' / 'scene_01000000.jpg'
    infer = inferencer(checkpoint)
    assert isinstance(infer, a2sg_zoo.DetectionInferencer)
    infer.score = 0.0
    (found,) = infer(str(picture), out_dir=tmp_path / 'seen')['predictions']
    assert found['objects'] and found['masks'].shape == (len(found['objects']), 64, 64)
    scores = [item['score'] for item in found['objects']]
    assert scores == sorted(scores, reverse=True)
    for item in found['objects']:
        x1, y1, x2, y2 = item['box']
        assert 0 <= x1 <= x2 <= 64 and 0 <= y1 <= y2 <= 64 and item['name'] in ('person', 'car')
    assert Image.open(tmp_path / 'seen' / 'scene_01000000.png').size == (64, 64)
    predict.main([str(checkpoint), str(picture), '--out', str(tmp_path / 'out')])
    kept = json.loads((tmp_path / 'out' / 'results.json').read_text())['predictions']
    assert {*kept[0]} == {'input', 'objects'}
    assert 'scene_01000000.jpg: ' in capsys.readouterr().out


def test_published_weights_and_their_card(trained, tmp_path, monkeypatch):
    pytest.importorskip('huggingface_hub')
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(tmp_path / 'index.json'))
    command = ['a2sg-zoo', 'train', CONFIG, *options(trained / 'data')]
    _, entry = publish(trained / 'run', 'tiny_detector', 'A test.', command=command, any_commit=True)
    assert entry['task'] == 'detection' and entry['energy']['multiply-accumulates'] > 0
    card = (tmp_path / 'model_cards' / 'tiny_detector.md').read_text()
    assert 'DetectionInferencer' in card and 'object-detection' in card and '| person |' in card
    assert a2sg_zoo.list_models(task='detection') == ['tiny_detector']
    model = a2sg_zoo.get_model('tiny_detector')
    assert model.classes == ['person', 'car']
    with torch.no_grad():
        (found,) = model(torch.rand(1, 3, 64, 64))
    assert found['boxes'].shape[1] == 4
    assert a2sg_zoo.get_model('tiny_detector', num_classes=5).detection_head.num_classes == 5


def test_an_export_is_refused_with_the_reason(trained, tmp_path, capsys):
    from a2sg_zoo.cli import export

    with pytest.raises(SystemExit) as end:
        export.main(
            [
                str(trained / 'run' / 'iter_4.pth'),
                '--format',
                'onnx',
                '--out',
                str(tmp_path / 'x.onnx'),
                '--size',
                '64',
                '64',
            ]
        )
    assert end.value.code == 2 and 'detector' in capsys.readouterr().err
    assert not (tmp_path / 'x.onnx').exists()


# what is refused before the first batch


def build(root, work_dir, **changes):
    data = {
        f'{loader}_dataloader.dataset.{key}': value
        for loader in ('train', 'val', 'test')
        for key, value in (('train', 6), ('val', 3), ('size', 64))
    }
    run = {'data_root': str(root), 'train_cfg.max_iters': 1, 'train_dataloader.num_workers': 0}
    return prepare_config('meta_spikeformer_retinanet_small_scenes', {**data, **run, **changes}, work_dir=work_dir)


def test_another_number_of_classes(trained, tmp_path):
    cfg = build(trained / 'data', tmp_path, num_classes=3)
    with pytest.raises(ConfigError, match=r'model\.detection_head\.num_classes = 3'):
        train_run(cfg)
    assert not list(tmp_path.glob('*.pth'))


def test_a_faulty_annotation_ends_a_run_before_its_first_step(tmp_path):
    root = write_objects(tmp_path / 'data', 6, 3, 64)
    file = root / 'annotations' / 'instances_train.json'
    contents = json.loads(file.read_text())
    contents['annotations'][4]['bbox'][2] = 0
    file.write_text(json.dumps(contents))
    cfg = build(root, tmp_path / 'run')
    number = contents['annotations'][4]['id']
    with pytest.raises(DataError, match=rf'instances_train\.json.*annotation {number} '):
        train_run(cfg)
    assert not list((tmp_path / 'run').glob('*.pth'))
