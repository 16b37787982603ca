"""The demo page, in a real browser without a screen."""

import asyncio
import http.client
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import a2sg_zoo
from a2sg_zoo.apis.demo import LocalOnly, Viewer, page
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
    with pytest.raises(DataError, match='text.png'):
        viewer.look(CLASSIFIER, tmp_path / 'text.png')
    with pytest.raises(ConfigError, match=CLASSIFIER):
        viewer.look('resnet_small_digit_tri', tmp_path / 'text.png')


def test_gradio_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(ConfigError, match=r'a2sg-zoo\[demo\]'):
        page([CLASSIFIER])


def test_there_must_be_a_network():
    with pytest.raises(ConfigError, match='checkpoint'):
        page([])


def test_a_picture_that_unpacks_to_gigabytes(tmp_path):
    Image.new('1', (9000, 9000)).save(tmp_path / 'bomb.png')
    assert (tmp_path / 'bomb.png').stat().st_size < 30_000
    with pytest.raises(DataError, match='bomb.png'):
        Viewer('cpu').look(CLASSIFIER, tmp_path / 'bomb.png')


LOCAL = b'127.0.0.1:7860'


@pytest.mark.parametrize(
    'kind, headers, passes',
    [
        ('http', [(b'host', LOCAL)], True),
        ('http', [(b'Host', b'localhost:7860'), (b'Origin', b'http://localhost:7860')], True),
        ('http', [(b'host', b'[::1]:7860'), (b'origin', b'http://[::1]:7860')], True),
        ('http', [(b'host', LOCAL), (b'origin', b'http://127.0.0.1:7860')], True),
        ('lifespan', None, True),
        ('http', [(b'host', b'evil.example:7860')], False),  # a name that points to this address
        ('http', [(b'host', b'127.0.0.1.evil.example:7860')], False),
        ('http', [(b'host', b'127.0.0.1@evil.example')], False),
        ('http', [], False),
        ('http', [(b'host', LOCAL), (b'host', b'evil.example')], False),
        ('http', [(b'host', LOCAL), (b'origin', b'http://evil.example')], False),
        ('http', [(b'host', LOCAL), (b'origin', b'http://127.0.0.1:9999')], False),  # another server of this machine
        ('http', [(b'host', LOCAL), (b'origin', b'null')], False),  # a file, or a frame that hides its site
        ('http', [(b'host', LOCAL), (b'origin', b'http://127.0.0.1:port')], False),
        ('http', [(b'host', LOCAL), (b'origin', b'file://127.0.0.1:7860')], False),
        ('http', [(b'host', b'\xff'), (b'origin', b'http://127.0.0.1:7860')], False),
        ('websocket', [(b'host', LOCAL), (b'origin', b'http://evil.example')], False),
    ],
)
def test_requests_of_other_sites(kind, headers, passes):
    passed, sent = [], []

    async def app(scope, receive, send):
        passed.append(scope)

    async def send(message):
        sent.append(message)

    asyncio.run(LocalOnly(app)(dict(type=kind, headers=headers), None, send))
    assert bool(passed) == passes and bool(sent) != passes
    if sent:
        assert sent[0].get('status') == 403 or sent[0]['type'] == 'websocket.close'


def request(url, method, path, headers, body=None):
    server = urlsplit(url)
    connection = http.client.HTTPConnection(server.hostname, server.port, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader('Content-Length', str(len(body or b'')))
    connection.endheaders(body)
    return connection.getresponse().status


def test_uploads_of_other_sites_and_their_end(address, picture):
    here = urlsplit(address).netloc
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nabc\r\n--x--\r\n'
    form = {'Content-Type': 'multipart/form-data; boundary=x'}
    uploads = Path(os.environ['GRADIO_TEMP_DIR'])
    for headers in ({'Host': here, 'Origin': 'http://evil.example'}, {'Host': 'evil.example'}):
        assert request(address, 'POST', '/gradio_api/upload', {**headers, **form}, part) == 403
        assert request(address, 'GET', '/', headers) == 403
    assert not list(uploads.rglob('a.png'))
    assert (
        request(address, 'POST', '/gradio_api/upload', {'Host': here, 'Origin': f'http://{here}', **form}, part) == 200
    )
    assert list(uploads.rglob('a.png'))


def test_uploads_are_deleted_when_the_process_ends(picture):
    pytest.importorskip('gradio')
    code = f"""if True:
        import os, shutil
        from a2sg_zoo.apis.demo import page
        page([{CLASSIFIER!r}], 'cpu')
        shutil.copy({str(picture)!r}, os.environ['GRADIO_TEMP_DIR'])
        print(os.environ['GRADIO_TEMP_DIR'])"""
    folder = subprocess.check_output([sys.executable, '-c', code], text=True).splitlines()[-1]
    assert 'a2sg_zoo_demo_' in folder and not Path(folder).exists()


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
    assert '--port' in capsys.readouterr().err
