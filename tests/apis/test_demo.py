"""The demo page, in a real browser without a screen."""

import importlib.util
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import a2sg_zoo
from a2sg_zoo.apis.demo import Viewer, page
from a2sg_zoo.datasets import Digits, write_scenes
from a2sg_zoo.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]
CLASSIFIER, SEGMENTOR = 'resnet_small_digits_tri', 'meta_spikeformer_small_camvid_a2sg'


@pytest.fixture(scope='module')
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp('demo') / 'seven.png'
    data = Digits(train=False, size=8)
    index = int(np.flatnonzero(np.asarray(data.labels) == 7)[0])
    Image.fromarray(data.images[index].permute(1, 2, 0).numpy()).resize((96, 96)).save(path)
    return path


def test_what_a_classifier_sees(picture):
    found = Viewer('cpu').look(CLASSIFIER, str(picture))
    expected = a2sg_zoo.ImageClassifierInferencer(CLASSIFIER, 'cpu')(picture)['predictions'][0]
    assert list(found['shares'].values()) == expected['scores'] and found['areas'] == []
    rates = {layer: float(s.mean()) for layer, s in found['spikes'].items()}
    assert 'backbone.stem_neuron' in rates and all(0 <= rate < 1 for rate in rates.values())
    assert max(rates.values()) > 0.05
    assert {len(s) for s in found['spikes'].values()} == {4}


def test_what_a_segmentor_sees():
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    found = Viewer('cpu').look(SEGMENTOR, image)
    assert sum(mask for mask, _ in found['areas']).min() == 1 and found['areas'][0][0].shape == (64, 96)
    assert found['colours'].keys() == found['shares'].keys()
    description = a2sg_zoo.SegmentationInferencer(SEGMENTOR, 'cpu').description
    first = next(iter(found['colours']))
    assert found['colours'][first] == '#' + bytes(description.palette[description.classes.index(first)]).hex()
    assert {name: pytest.approx(mask.mean()) for mask, name in found['areas']} == found['shares']


def test_a_photograph_is_shown_smaller():
    image = np.random.default_rng(0).integers(0, 255, (1900, 2500, 3), dtype=np.uint8)
    found = Viewer('cpu').look(SEGMENTOR, image)
    assert np.array_equal(found['image'], image[::2, ::2])
    assert {mask.shape for mask, _ in found['areas']} == {(950, 1250)}
    assert sum(mask for mask, _ in found['areas']).min() == 1 and sum(found['shares'].values()) == pytest.approx(1)


def test_mistakes(tmp_path):
    (tmp_path / 'text.png').write_text('no picture')
    viewer = Viewer('cpu')
    with pytest.raises(DataError, match='damaged, or no picture'):
        viewer.look(CLASSIFIER, tmp_path / 'text.png')
    with pytest.raises(ConfigError, match='did you mean'):
        viewer.look('resnet_small_digit_tri', tmp_path / 'text.png')


def test_gradio_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(ConfigError, match=r'pip install "a2sg-zoo\[demo\]"'):
        page([CLASSIFIER])


def test_there_must_be_a_network():
    with pytest.raises(ConfigError, match='no network to show.*name a checkpoint'):
        page([])


@pytest.fixture
def browser():
    playwright = pytest.importorskip('playwright.sync_api')
    chromium = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    if chromium is None:
        pytest.skip('there is no Chromium here')
    with playwright.sync_playwright() as session:
        browser = session.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        yield browser
        browser.close()


@pytest.fixture
def address():
    pytest.importorskip('gradio')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    blocks, settings = page([CLASSIFIER, SEGMENTOR], 'cpu')
    _, url, _ = blocks.launch(server_port=port, prevent_thread_lock=True, **settings)
    yield url
    blocks.close()


def test_in_a_browser(browser, address, picture, tmp_path):
    tab = browser.new_page(viewport=dict(width=1280, height=1200))
    tab.set_default_timeout(120_000)  # of a slow machine
    elsewhere = []
    tab.on(
        'request',
        lambda request: (
            elsewhere.append(request.url) if not request.url.startswith((address, 'data:', 'blob:')) else None
        ),
    )
    tab.goto(address)
    drop = tab.locator('#picture input[type=file]')
    drop.set_input_files(str(picture))
    tab.locator('#classes').get_by_text('7', exact=True).first.wait_for()
    for figure in ('#rates img', '#features img', '#seen img'):
        tab.locator(figure).first.wait_for()
    wide = tab.locator('#rates img').first.evaluate('image => image.decode().then(() => image.naturalWidth)')
    assert wide > 300

    # another network, another picture: a mask over it, and the classes in words
    scene = tmp_path / 'scene.jpg'
    next(Path(write_scenes(tmp_path / 'scenes', train=1, val=1, size=240), 'images').rglob('*.jpg')).rename(scene)
    tab.locator('#network input').click()
    tab.get_by_role('option', name=SEGMENTOR).click()
    tab.locator('#classes').get_by_text('7', exact=True).first.wait_for(state='detached')
    tab.locator('#picture').get_by_label('Clear').first.click()
    drop.set_input_files(str(scene))
    found = Viewer('cpu').look(SEGMENTOR, scene)
    for name in list(found['shares'])[:2]:
        tab.locator('#seen').get_by_text(name, exact=True).first.wait_for()
        tab.locator('#classes').get_by_text(name, exact=True).first.wait_for()
    tab.locator('#seen img.mask').first.wait_for(state='attached')
    assert tab.locator('#seen img.mask').count() == len(found['areas'])
    tab.screenshot(path=tmp_path / 'page.png', full_page=True)

    (tmp_path / 'text.png').write_text('no picture')
    tab.locator('#picture').get_by_label('Clear').first.click()
    drop.set_input_files(str(tmp_path / 'text.png'))
    tab.get_by_text('damaged, or no picture').wait_for()
    assert elsewhere == []


def test_command_line(monkeypatch, capsys):
    gradio = pytest.importorskip('gradio')
    spec = importlib.util.spec_from_file_location('demo_tool', ROOT / 'a2sg_zoo' / 'cli' / 'demo_app.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    served = {}
    monkeypatch.setattr(gradio.Blocks, 'launch', lambda self, **settings: served.update(settings))
    tool.main(['--no-browser', '--port', '7999'])
    assert served['server_name'] == '127.0.0.1' and served['share'] is False and served['server_port'] == 7999
    assert 'http://127.0.0.1:7999' in capsys.readouterr().out

    def refuse(self, **settings):
        raise OSError('Cannot find empty port')

    monkeypatch.setattr(gradio.Blocks, 'launch', refuse)
    with pytest.raises(SystemExit):
        tool.main(['--no-browser'])
    assert 'choose another with --port' in capsys.readouterr().err
