"""A page for this machine: drop a picture on it, and it shows what the network sees and how its layers fire."""

import atexit
import os
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from a2sg_zoo.analysis.figures.spikes import feature_figure, rate_figure
from a2sg_zoo.analysis.measures.spikes import record_spikes
from a2sg_zoo.apis.inference import inferencer
from a2sg_zoo.apis.sources import read_image
from a2sg_zoo.errors import A2SGError, ConfigError

_SHOWN = 1600  # pixels of a side; there is a mask of all pixels for each class
# pixels of a picture: a photograph of any telephone, and not the gigabytes that a small file may unpack to
_MAX_PIXELS = 50_000_000
_THIS_MACHINE = ('127.0.0.1', 'localhost', '::1')


class Viewer:
    """Networks by name, and what they say about a picture. Each is loaded when it is first asked for.

    Args:
        device: see `Inferencer`.
    """

    def __init__(self, device: Any = None) -> None:
        self.device = device
        self._loaded: dict[str, Any] = {}
        self._one_at_a_time = threading.Lock()  # the spikes are recorded by hooks in the network

    def look(self, name: str, source: Any) -> dict[str, Any]:
        """Runs a network on a picture.

        Args:
            name: in the zoo, or path of a checkpoint.
            source: path of a picture, or anything else that an inferencer takes.

        Returns:
            dict(image=uint8 (H, W, 3), of a large picture each n-th pixel; areas=[(mask (H, W) of 0 and 1, class)] of a
            segmentation, the largest first, [(box, class)] of a detection, else []; colours={class: '#rrggbb'} of
            these; shares={class: probability, or share of the pixels}; spikes={layer: (T, ...)}, on the CPU).

        Raises:
            A2SGError: the network or the picture cannot be had or read.
        """
        with self._one_at_a_time:
            if name not in self._loaded:
                self._loaded[name] = inferencer(name, self.device)
            infer = self._loaded[name]
            image = read_image(source, _MAX_PIXELS)
            with record_spikes(infer.model) as spikes:
                prediction = infer(image)['predictions'][0]
        spikes = {layer: s[:, 0].float().cpu() for layer, s in spikes.items()}
        classes = infer.description.classes
        if 'objects' in prediction:
            return self._found(image, prediction['objects'], infer.description, spikes)
        if 'mask' not in prediction:
            return dict(
                image=image, areas=[], colours={}, shares=dict(zip(classes, prediction['scores'])), spikes=spikes
            )
        shares, step = prediction['shares'], -(-max(image.shape) // _SHOWN)
        image, mask = image[::step, ::step], prediction['mask'][::step, ::step]
        areas = [((mask == classes.index(name)).astype(np.float32), name) for name in shares]
        colours = {
            name: '#{:02x}{:02x}{:02x}'.format(*infer.description.palette[classes.index(name)]) for name in shares
        }
        return dict(image=image, areas=areas, colours=colours, shares=shares, spikes=spikes)

    @staticmethod
    def _found(
        image: np.ndarray, objects: Sequence[dict[str, Any]], description: Any, spikes: dict[str, Any]
    ) -> dict[str, Any]:
        """What `look` returns of a detection: areas are boxes (x1, y1, x2, y2), shares the best score of each class."""
        step = -(-max(image.shape) // _SHOWN)
        areas = [(tuple(int(x / step) for x in item['box']), item['name']) for item in objects]
        best: dict[str, float] = {}
        for item in objects:
            best[item['name']] = max(best.get(item['name'], 0.0), item['score'])
        colours = {
            name: '#{:02x}{:02x}{:02x}'.format(*description.palette[description.classes.index(name)]) for name in best
        }
        return dict(image=image[::step, ::step], areas=areas, colours=colours, shares=best, spikes=spikes)


class LocalOnly:
    """An ASGI middleware that answers only requests of pages that this machine itself has served.

    The name of the host must be one of this machine: another name is that of a site that points to this address. A page
    of another site may send a form or a picture here, but its browser adds the address of that site (`Origin`).

    Args:
        app: the application.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Passes on a request, or answers it with status 403."""
        if scope['type'] not in ('http', 'websocket') or self._allows(scope['headers']):
            await self.app(scope, receive, send)
        elif scope['type'] == 'websocket':
            await send(dict(type='websocket.close', code=1008))
        else:
            await send(
                dict(type='http.response.start', status=403, headers=[(b'content-type', b'text/plain; charset=utf-8')])
            )
            await send(dict(type='http.response.body', body=b'This page answers to this machine alone.'))

    @staticmethod
    def _allows(headers: Sequence[tuple[bytes, bytes]]) -> bool:
        hosts = [value for name, value in headers if name.lower() == b'host']
        origins = [value for name, value in headers if name.lower() == b'origin']
        if len(hosts) != 1 or len(origins) > 1:
            return False
        try:
            host = urlsplit(f'//{hosts[0].decode("ascii")}')
            allowed = host.hostname in _THIS_MACHINE
            for origin in origins:
                site = urlsplit(origin.decode('ascii'))
                allowed &= site.scheme in ('http', 'https') and site.hostname in _THIS_MACHINE
                allowed &= site.port == host.port
        except ValueError:
            return False
        return allowed


def page(names: Sequence[str], device: Any = None) -> tuple[Any, dict[str, Any]]:
    """The page as a `gradio.Blocks`, and arguments for its `launch`.

    It is served to this machine alone, and loads nothing from another machine. Pictures that are dropped on it lie in a
    temporary folder, which is removed when the process ends.

    Args:
        names: of networks, in the zoo or paths of checkpoints; the first is shown first.
        device: see `Inferencer`.

    Raises:
        ConfigError: gradio is not installed, or there is no network to show.
    """
    if not names:
        raise ConfigError('there is no network to show: the index of weights is empty; name a checkpoint')
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'  # is read on import
    try:
        import gradio
        from starlette.middleware import Middleware
    except ImportError as error:
        raise ConfigError(f'for the demo, {error.name} is needed: pip install "a2sg-zoo[demo]"') from error
    uploads = tempfile.mkdtemp(prefix='a2sg_zoo_demo_')
    atexit.register(shutil.rmtree, uploads, ignore_errors=True)
    os.environ['GRADIO_TEMP_DIR'] = uploads  # is read when the page is built
    viewer = Viewer(device)

    def show(name, path):
        if path is None:
            return None, None, None, None
        try:
            found = viewer.look(name, path)
        except A2SGError as error:
            raise gradio.Error(str(error), title='This picture or network cannot be used') from error
        maps = {layer: s for layer, s in found['spikes'].items() if s.dim() == 4}
        # the picture is to be seen through the masks
        areas = [(area if isinstance(area, tuple) else 0.6 * area, name) for area, name in found['areas']]
        return (
            gradio.AnnotatedImage((found['image'], areas), color_map=found['colours']),
            found['shares'],
            rate_figure(found['spikes'], 'How often each layer fires'),
            feature_figure(maps) if maps else None,
        )

    with gradio.Blocks(title='a2sg_zoo', analytics_enabled=False) as blocks:
        gradio.Markdown('# What a spiking network sees\nDrop a picture; it stays on this machine.')
        with gradio.Row():
            with gradio.Column():
                name = gradio.Dropdown(list(names), value=names[0], label='network', elem_id='network')
                # a file, and not gradio's image: what cannot be read is then ours to explain
                picture = gradio.File(label='picture', file_count='single', type='filepath', elem_id='picture')
                shares = gradio.Label(num_top_classes=6, label='classes', elem_id='classes')
            seen = gradio.AnnotatedImage(label='what it sees', elem_id='seen')
        with gradio.Row():
            rates = gradio.Plot(show_label=False, elem_id='rates')
            features = gradio.Plot(show_label=False, elem_id='features')
        outputs = [seen, shares, rates, features]
        for event in (picture.change, name.change):
            event(show, [name, picture], outputs, api_name=False)
    # gradio's own themes fetch fonts from the network
    theme = gradio.themes.Base(font=['system-ui', 'sans-serif'], font_mono=['monospace'])
    return blocks, dict(
        server_name='127.0.0.1',
        share=False,
        theme=theme,
        footer_links=[],
        quiet=True,
        max_file_size='64mb',  # no picture is larger for an inferencer
        app_kwargs=dict(middleware=[Middleware(LocalOnly)]),
    )
