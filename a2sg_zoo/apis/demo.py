"""A page to drop a picture on: what the network sees in it, and how its layers fire. For one's own machine."""

import os
import threading

import numpy as np

from a2sg_zoo.analysis.figures.spikes import feature_figure, rate_figure
from a2sg_zoo.analysis.measures.spikes import record_spikes
from a2sg_zoo.apis.inference import inferencer
from a2sg_zoo.apis.sources import read_image
from a2sg_zoo.errors import A2SGError, ConfigError

_SHOWN = 1600  # pixels of a side; there is a mask of all pixels for each class


class Viewer:
    """Networks by name, and what they say of a picture. Each is loaded when it is first asked for.

    Args:
        device: see `Inferencer`.
    """

    def __init__(self, device=None):
        self.device = device
        self._loaded = {}
        self._one_at_a_time = threading.Lock()  # recording hooks into the network

    def look(self, name, source):
        """What a network sees.

        Args:
            name: in the zoo, or path of a checkpoint.
            source: path of a picture, or anything else that an inferencer takes.

        Returns:
            dict(image=uint8 (H, W, 3), of a large picture each n-th pixel; areas=[(mask (H, W) of 0 and 1, class)] of a
            segmentation, the largest first, else []; colours={class: '#rrggbb'} of these; shares={class: probability,
            or share of the pixels}; spikes={layer: (T, ...)}, on the CPU).

        Raises:
            A2SGError: the network or the picture cannot be had or read.
        """
        with self._one_at_a_time:
            if name not in self._loaded:
                self._loaded[name] = inferencer(name, self.device)
            infer = self._loaded[name]
            image = read_image(source)
            with record_spikes(infer.model) as spikes:
                prediction = infer(image)['predictions'][0]
        spikes = {layer: s[:, 0].float().cpu() for layer, s in spikes.items()}
        classes = infer.description.classes
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


def page(names, device=None):
    """The page as a `gradio.Blocks`, and arguments for its `launch`: to be had from this machine alone, and with
    nothing loaded from or told to any other.

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
    except ImportError as error:
        raise ConfigError(f'for the demo, {error.name} is needed: pip install "a2sg-zoo[demo]"') from error
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
        areas = [(0.6 * mask, name) for mask, name in found['areas']]
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
        server_name='127.0.0.1', share=False, theme=theme, footer_links=[], quiet=True, max_file_size='64mb'
    )  # no picture is larger for an inferencer
