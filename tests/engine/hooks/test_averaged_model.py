"""MMEngine's averaged model beside a policy that searches: it follows the widths, and a resumed run repeats it."""

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel
from torch import nn

from a2sg_zoo.engine.hooks import AdaptationHook
from a2sg_zoo.hub.checkpoint import read_checkpoint
from a2sg_zoo.neurons import LIF, named_neurons
from tests.engine.toy import runner

T = 3


class Spiking(BaseModel):
    """A network with one neuron that knows its number of time steps, and one that does not."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Linear(4, 16), LIF(T=T))
        self.backbone.T = T
        self.head = nn.Sequential(nn.Linear(16, 8), LIF(v_threshold=0.5), nn.Linear(8, 1))

    def forward(self, inputs, targets, mode='tensor'):
        inputs, targets = torch.stack(list(inputs)), torch.stack(list(targets))
        output = self.head(self.backbone(inputs.expand(T, *inputs.shape))).mean(0).squeeze(1)
        return dict(loss=(output - targets).square().mean()) if mode == 'loss' else output


def train(folder, update_buffers, max_iters=8, resume=False):
    ema = EMAHook('ExponentialMovingAverage', momentum=0.1, update_buffers=update_buffers)
    run = runner(
        folder,
        Spiking(),
        hooks=[AdaptationHook(dict(type='A2SG', beta_min=0.3), log_interval=2), ema],
        max_iters=max_iters,
        resume=resume,
    )
    run.train()
    return run.model, ema.ema_model.module


@pytest.mark.parametrize('update_buffers', [False, True])
def test_an_average_follows_the_widths_and_resumes(tmp_path, update_buffers):
    model, average = train(tmp_path / 'whole', update_buffers)
    for neuron, averaged in zip(named_neurons(model).values(), named_neurons(average).values()):
        assert neuron.beta.shape == averaged.beta.shape == (T,) and (neuron.beta != 1).any()
        assert torch.equal(neuron.beta, averaged.beta) != update_buffers
    assert not torch.equal(model.head[0].weight, average.head[0].weight)
    train(tmp_path / 'parts', update_buffers, max_iters=4)
    resumed, resumed_average = train(tmp_path / 'parts', update_buffers, resume=True)
    for found, expected in ((resumed, model), (resumed_average, average)):
        found, expected = found.state_dict(), expected.state_dict()
        assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)
    # the file's own weights are the averaged ones, which a network without a policy loads
    fresh = Spiking()
    fresh.load_state_dict(read_checkpoint(tmp_path / 'whole' / 'iter_8.pth')['state_dict'])
    assert torch.equal(fresh.head[0].weight, average.head[0].weight)
    assert torch.equal(fresh.head[1].beta, average.head[1].beta)
