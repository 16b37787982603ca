"""Where NaN comes from is found, and it reaches neither weights nor checkpoints."""

import os

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.structures import BaseDataElement
from torch import nn

from a2sg_zoo.engine.hooks import NonFiniteGuard
from a2sg_zoo.errors import NonFiniteError
from tests.engine import toy


class Break(nn.Module):
    """Returns NaN from its third training step on."""

    def __init__(self):
        super().__init__()
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))
        self.active = True

    def forward(self, x):
        self.steps += self.active
        return x / 0 * 0 if self.active and self.steps >= 3 else x


class BadGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * float('nan')


class SpoilParameter(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2:
            with torch.no_grad():
                next(m for m in runner.model.modules() if isinstance(m, nn.BatchNorm1d)).weight[1] = float('inf')


class SpoilInput(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2:
            data_batch['inputs'][1][0] = float('nan')
            data_batch['data_samples'] = [BaseDataElement(metainfo=dict(img_path=f'image_{i}.png')) for i in range(3)]


class Probe(Hook):
    """Tries weights out before the step, as Dspike does, and makes nothing of what comes of it."""

    priority = 'ABOVE_NORMAL'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        batch = {**data_batch, 'inputs': [x * float('nan') for x in data_batch['inputs']]}
        runner.model.eval()  # statistics of batch norms are the run's
        assert runner.model(**batch, mode='loss')['loss'].isnan()
        runner.model.train()


class Net(toy.Net):
    def __init__(self, middle=None, head=None):
        super().__init__()
        self.features = nn.Sequential(*self.features, middle or nn.Identity())
        self.gradient = BadGradient.apply if head == 'gradient' else lambda x: x

    def forward(self, inputs, targets, data_samples=None, mode='tensor'):
        losses = super().forward(inputs, targets, mode)
        return dict(loss=self.gradient(losses['loss']), acc=torch.tensor(float('nan'))) if mode == 'loss' else losses


def failure(tmp_path, model, *hooks, **kwargs):
    """(message, runner) of a run that must fail."""
    runner = toy.runner(tmp_path, model=model, hooks=[NonFiniteGuard(), *hooks], checkpoint=dict(interval=1), **kwargs)
    with pytest.raises(NonFiniteError) as error:
        runner.train()
    return str(error.value), runner


def test_a_sound_run_is_left_alone(tmp_path):
    runner = toy.runner(tmp_path, model=Net(), hooks=[NonFiniteGuard()])
    runner.train()  # its metric `acc` is NaN, which harms nothing
    assert not runner.model._forward_hooks and not runner.model._forward_pre_hooks


def test_passes_before_the_step_are_not_the_runs(tmp_path):
    runner = toy.runner(tmp_path, model=toy.Net(), hooks=[NonFiniteGuard(), Probe()])
    runner.train()
    assert runner.iter == runner.max_iters


def test_the_first_bad_layer_is_named_and_nothing_is_spoilt(tmp_path):
    message, runner = failure(tmp_path, Net(Break()))
    assert all(part in message for part in ('iteration 3', 'loss', 'nan', 'features.4', 'Break'))
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_1.pth', 'iter_2.pth']
    saved = torch.load(tmp_path / 'iter_2.pth', weights_only=False)['state_dict']
    assert all(torch.equal(saved[name], p) for name, p in runner.model.named_parameters())
    assert all(x.isfinite().all() for x in saved.values())


def test_a_bad_parameter_is_named_first(tmp_path):
    message, _ = failure(tmp_path, Net(), SpoilParameter())
    assert 'iteration 3' in message and 'features.1.weight' in message and 'Break' not in message


def test_bad_input_names_its_files(tmp_path):
    message, _ = failure(tmp_path, Net(), SpoilInput())
    assert 'image_1.png' in message and 'image_0' not in message and 'image_2' not in message


def test_a_bad_loss_of_finite_layers(tmp_path):
    class Bare(toy.Net):
        def forward(self, inputs, targets, mode='tensor'):
            losses = super().forward(inputs, targets, mode)
            return dict(decode=[losses['loss']], aux_loss=[losses['loss'], losses['loss'] / 0])

    message, _ = failure(tmp_path, Bare())
    assert all(part in message for part in ('iteration 1', 'aux_loss', 'inf', 'Bare'))


def test_a_bad_gradient_is_caught_before_the_step(tmp_path):
    model = Net(head='gradient')
    before = {name: p.clone() for name, p in model.named_parameters()}
    message, _ = failure(tmp_path, model)
    assert 'iteration 1' in message and 'features.0.weight' in message
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


@pytest.mark.parametrize('with_files', [True, False])
def test_bad_pixels_name_their_files_without_help_of_the_batch(tmp_path, with_files):
    """The items of a batch follow from the sampler's position."""

    class Spoilt(toy.Points):
        if with_files:
            samples = [(f'folder/image_{i}.png', 0) for i in range(10)]

        def __getitem__(self, index):
            item = super().__getitem__(index)
            return {**item, 'inputs': item['inputs'] / 0 * 0} if index == 7 else item

    runner = toy.runner(tmp_path, model=Net(), hooks=[NonFiniteGuard()], checkpoint=dict(interval=1))
    loader = {**runner._train_dataloader, 'dataset': Spoilt()}
    runner._train_dataloader = runner.build_dataloader(loader, seed=runner.seed)
    with pytest.raises(NonFiniteError) as error:
        runner.train()
    assert ('folder/image_7.png' if with_files else 'item 7 ') in str(error.value)


@pytest.mark.parametrize('key', ['lr', 'weight_decay'])
def test_a_learning_rate_that_is_not_finite_reaches_no_weight(tmp_path, key):
    class Spoil(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 2:
                runner.optim_wrapper.param_groups[0][key] = float('nan')

    message, runner = failure(tmp_path, Net(), Spoil())
    assert 'iteration 3' in message and key in message and 'nan' in message
    saved = torch.load(tmp_path / 'iter_2.pth', weights_only=False)['state_dict']
    assert all(torch.equal(saved[name], p) for name, p in runner.model.named_parameters())
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_1.pth', 'iter_2.pth']


class SpoilState(Hook):
    """Makes something of the run NaN after the third step, and before it is saved."""

    priority = 'LOW'

    def __init__(self, spoil):
        self.spoil = spoil

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 2:
            with torch.no_grad():
                self.spoil(runner)


@pytest.mark.parametrize(
    'spoil, name',
    [
        (lambda r: r.model.head.weight.fill_(float('nan')), 'head.weight'),
        (lambda r: r.model.features[1].running_var.fill_(float('inf')), 'features.1.running_var'),
        (lambda r: r.optim_wrapper.optimizer.state[r.model.head.bias]['exp_avg'].fill_(float('nan')), 'exp_avg'),
        (lambda r: r.optim_wrapper.param_groups[0].update(lr=float('nan')), 'lr'),
    ],
)
def test_nothing_that_is_not_finite_is_saved(tmp_path, spoil, name):
    message, _ = failure(tmp_path, Net(), SpoilState(spoil))
    assert 'iteration 3' in message and name in message
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_1.pth', 'iter_2.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == 'iter_2.pth'


def test_large_finite_gradients_pass(tmp_path):
    class Steep(toy.Net):
        def forward(self, inputs, targets, mode='tensor'):
            losses = super().forward(inputs, targets, mode)
            return dict(loss=losses['loss'] * 1e25) if mode == 'loss' else losses

    toy.runner(tmp_path, model=Steep(), hooks=[NonFiniteGuard()], max_iters=2).train()


def test_dropout_is_repeated_as_it_was(tmp_path):
    """The fault shows only under the very masks of the failing step."""

    class Rare(nn.Module):
        def forward(self, x):
            kept = (x.detach() != 0).flatten()
            return x + float('nan') if hash(tuple(kept.tolist())) == self.key else x

    class Masked(BaseModel):
        def __init__(self):
            super().__init__()
            self.dropout, self.rare, self.w = nn.Dropout(0.5), Rare(), nn.Parameter(torch.ones(64))

        def forward(self, inputs, targets, mode='tensor'):
            return dict(loss=self.rare(self.dropout(self.w)).mean())

    model = Masked()
    seen = []
    model.rare.key = None
    watch = model.dropout.register_forward_hook(lambda m, i, o: seen.append(hash(tuple((o.detach() != 0).tolist()))))
    toy.runner(tmp_path / 'a', model=model, max_iters=2).train()
    watch.remove()
    again = Masked()
    again.rare.key = seen[1]
    message, _ = failure(tmp_path / 'b', again)
    assert 'iteration 2' in message and 'rare' in message


@pytest.fixture
def process_group(tmp_path, monkeypatch):
    for key, value in dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0').items():
        monkeypatch.setitem(os.environ, key, value)
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/group', rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_inside_a_parallel_wrapper(tmp_path, process_group):
    net = Net(Break())
    net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    runner = toy.runner(tmp_path, model=net, hooks=[NonFiniteGuard()])
    runner.model = MMDistributedDataParallel(net)
    with pytest.raises(NonFiniteError, match=r'iteration 3.*features\.4'):
        runner.train()
