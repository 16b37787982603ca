"""Where pictures come from: files, addresses, and what is neither."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from a2sg_zoo.apis.inference import ImageClassifierInferencer, inferencer
from a2sg_zoo.apis.sources import read_image
from a2sg_zoo.errors import DataError
from tests.apis.pictures import CLASSES_OF, photo, same, task


@task('classification', 'segmentation')
def test_addresses(weights, folder, server):
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
def test_addresses_that_fail(server, monkeypatch, act, named):
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
def test_a_password_in_an_address_is_not_shown(weights, folder, server):
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


def test_a_flood(server, monkeypatch):
    monkeypatch.setattr('a2sg_zoo.apis.sources._LARGEST', 1000)
    with pytest.raises(DataError, match=server.url):
        read_image(server.url)


def test_addresses_in_other_spellings(server, folder, tmp_path):
    expected = read_image(folder / '0.png')
    server.content = (folder / '0.png').read_bytes()
    assert np.array_equal(read_image(server.url.replace('http:', 'HTTP:')), expected)
    read_image(server.url.replace('data.zip', 'große katze.png'))
    assert server.requests[1][0] == '/files/gro%C3%9Fe%20katze.png'
    (tmp_path / 'a b.png').write_bytes(server.content)
    assert np.array_equal(read_image((tmp_path / 'a b.png').as_uri()), expected)
    with pytest.raises(DataError, match='absent.png'):
        read_image((tmp_path / 'absent.png').as_uri())


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
def test_credentials_of_a_picture_stay_in_the_request(weights, server, tmp_path):
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
