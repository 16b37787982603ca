"""The spikes of a network's layers, as a forward pass makes them."""

from contextlib import contextmanager

from a2sg_zoo.registry import NEURONS


@contextmanager
def record_spikes(model):
    """Gives a dict that fills with {name of a neuron layer: spikes (T, B, ...)} as the network runs, in the order of
    execution; a layer's last call counts.

        with torch.no_grad(), record_spikes(model) as spikes:
            model(images)

    Spikes are 0 or 1; those of an ILIF are n / levels. They are detached, and stay where the network is.
    """
    spikes, kinds = {}, tuple(NEURONS.module_dict.values())

    def keep(name):
        def hook(module, args, output):
            spikes[name] = output.detach()

        return hook

    handles = [
        module.register_forward_hook(keep(name)) for name, module in model.named_modules() if isinstance(module, kinds)
    ]
    try:
        yield spikes
    finally:
        for handle in handles:
            handle.remove()
