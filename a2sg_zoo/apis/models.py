"""What a notebook imports: `list_models`, `info`, `get_model`."""

from copy import deepcopy

from a2sg_zoo.hub.index import find, names


def list_models(pattern='*'):
    """Names of the weights in the zoo.

    Args:
        pattern: such as '*cifar10*'; upper and lower case are the same.
    """
    return names(pattern)


def info(name):
    """All that the index tells of the weights of this name, a dictionary: task, config, data, recipe, metrics...

    `a2sg_zoo.hub.index.FIELDS` lists its keys.

    Raises:
        ConfigError: the zoo has none of this name.
    """
    return dict(name=name, **deepcopy(find(name).facts))


def get_model(name, pretrained=True, device='cpu'):
    """A network of the zoo, in evaluation mode.

    The file is downloaded where it is not shipped or cached; see `a2sg_zoo.hub.pretrained.pretrained_file`.

    Args:
        name: as in `list_models()`.
        pretrained: with its weights; or else with initial ones, and nothing is fetched.
        device: where it goes.

    Returns:
        `SpikingClassifier`, from normalised images (B, 3, H, W) to logits (T, B, classes), or MMSegmentation's
        `EncoderDecoder`, to logits (B, classes, h, w). `model.data_preprocessor` normalises. `model.classes` holds the
        names of the classes (pretrained only).

    Raises:
        ConfigError: the zoo has none of this name, or the device is not there.
        CheckpointError: its file cannot be had, is damaged, or does not fit.
    """
    from a2sg_zoo.hub import published
    from a2sg_zoo.hub.pretrained import pretrained_file

    if pretrained:
        model, description = published.load(pretrained_file(name), device)
        model.classes = description.classes
        return model
    facts = find(name)
    model = published.build(facts['model'], f'index of weights {facts.index}: {name}')
    return published.move(model, device).eval()
