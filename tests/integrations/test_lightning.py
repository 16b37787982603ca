"""The callback for PyTorch Lightning: a training is the plain loop, step by step, whatever Lightning is asked to do."""

from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from a2sg_zoo.adaptation import A2SG, Dspike, EvolvingTanh, Fixed
from a2sg_zoo.errors import ConfigError
from tests.integrations.networks import BATCH, MAKE, Network, assert_same, data, result, train_plainly, twins

lightning = pytest.importorskip('lightning.pytorch')
pytestmark = pytest.mark.filterwarnings('ignore::UserWarning', 'ignore::DeprecationWarning', 'ignore::FutureWarning')


class Module(lightning.LightningModule):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def training_step(self, batch, index):
        x, y = batch
        return F.cross_entropy(self.network(x), y)

    def validation_step(self, batch, index):
        self.log('loss', self.training_step(batch, index))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def make_trainer(tmp_path, policy=None, more=(), callback={}, **options):
    from a2sg_zoo.integrations.lightning import AdaptationCallback

    callback = AdaptationCallback(policy or A2SG(), **callback)
    return callback, lightning.Trainer(
        **dict(
            accelerator='cpu',
            max_epochs=1,
            callbacks=[callback, *more],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=tmp_path,
            log_every_n_steps=1,
        )
        | options
    )


def fit(network, batches, tmp_path, policy=None, ckpt_path=None, samples=None, batch=BATCH, **options):
    callback, trainer = make_trainer(tmp_path, policy, **options)
    module = Module(network)
    loader = DataLoader(samples or data(batches), batch)
    trainer.fit(module, loader, DataLoader(data(1), BATCH), ckpt_path=ckpt_path)
    return trainer, callback, result(network, {k.removeprefix('network.'): x for k, x in callback.layers.items()})


@pytest.mark.parametrize('make', MAKE)
def test_a_training(make, tmp_path):
    network, twin = twins(MAKE[make])
    _, callback, found = fit(network, 4, tmp_path)
    assert list(callback.layers) == ['network.n1', 'network.n2']
    assert_same(found, train_plainly(twin, 4))


def test_gradient_accumulation_and_autocast(tmp_path):
    network, twin = twins(MAKE['SpikingJelly'])
    policies = A2SG(), A2SG()
    *_, found = fit(network, 6, tmp_path, policies[0], accumulate_grad_batches=2, precision='bf16-mixed')
    assert_same(found, train_plainly(twin, 6, 2, True, policy=policies[1]))
    assert policies[0].searches == policies[1].searches == dict(spatial=6, temporal=18)  # 2 layers, 3 steps


def test_statistics_are_logged_and_fused_nodes_reach_the_callback(tmp_path):
    pytest.importorskip('spikingjelly')
    network = Network(MAKE['SpikingJelly'])
    trainer, callback, _ = fit(network, 3, tmp_path, callback=dict(observe_every=2, fuse=True))
    assert [layer.fused for layer in callback.layers.values()] == [True, False]
    assert {'network.n1/rate', 'network.n2/sgv', 'network.n1/beta'} <= trainer.callback_metrics.keys()


def test_sgv_is_that_of_the_loss_itself(tmp_path):
    from lightning.pytorch.plugins import MixedPrecision

    class Scaled(MixedPrecision):
        forward_context = nullcontext

    options = dict(samples=2 * data(1), max_steps=1, callback=dict(observe_every=1))
    expected, *_ = fit(Network(), 0, tmp_path, Fixed(), **options)
    scaled = dict(accumulate_grad_batches=2, plugins=[Scaled('16-mixed', 'cpu', torch.amp.GradScaler('cpu'))])
    found, *_ = fit(Network(), 0, tmp_path, Fixed(), **options | scaled)
    for name in ('network.n1/sgv', 'network.n2/sgv'):
        torch.testing.assert_close(found.callback_metrics[name], expected.callback_metrics[name])


def test_policies_are_told_the_progress(tmp_path):
    policy = EvolvingTanh()
    fit(Network(), 4, tmp_path, policy)
    assert policy.K > 1


class Endless(IterableDataset):
    def __iter__(self):
        return iter(data(2))


def test_a_policy_that_needs_a_progress_that_nobody_knows(tmp_path):
    with pytest.raises(ConfigError, match='EvolvingTanh.*max_steps'):
        fit(Network(), 0, tmp_path, EvolvingTanh(), samples=Endless())
    policy = EvolvingTanh()
    fit(Network(), 0, tmp_path, policy, samples=Endless(), max_steps=2)
    assert policy.K > 1


def test_a_policy_that_needs_the_batch(tmp_path):
    with pytest.raises(ConfigError, match='Dspike.*prepare'):
        make_trainer(tmp_path, Dspike())


def test_a_resumed_training(tmp_path):
    """With a search in every third step, the third step depends on the widths of the checkpoint."""
    network, twin = twins(MAKE['SpikingJelly'])
    *_, whole = fit(network, 4, tmp_path, A2SG(interval=3))
    first, second = data(4)[: 2 * BATCH], data(4)[2 * BATCH :]
    trainer, _, _ = fit(twin, 0, tmp_path, A2SG(interval=3), samples=first)
    trainer.save_checkpoint(tmp_path / 'first.ckpt')
    *_, found = fit(
        Network(MAKE['SpikingJelly']), 0, tmp_path, A2SG(interval=3), tmp_path / 'first.ckpt', second, max_epochs=2
    )
    assert_same(found, whole)
    _, evaluating = make_trainer(tmp_path)
    loader, fresh = DataLoader(data(1), BATCH), Module(Network(MAKE['SpikingJelly']))
    assert evaluating.validate(fresh, loader, tmp_path / 'first.ckpt') == trainer.validate(Module(twin), loader)


class Keep(lightning.Callback):
    """Writes what each process has in the end, because the processes end with the training."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_end(self, trainer, module):
        layers = {k.removeprefix('network.'): x for k, x in trainer.callbacks[0].layers.items()}
        torch.save(result(module.network, layers), self.folder / f'rank{trainer.global_rank}.pt')


@pytest.mark.slow
def test_two_processes(tmp_path):
    """Each has half of every batch. Lightning shuffles, so each of the two epochs is one batch."""
    network, twin = twins(MAKE['SpikingJelly'])
    options = dict(max_epochs=2, precision='64-true', strategy='ddp_spawn', devices=2)
    fit(network, 1, tmp_path, batch=BATCH // 2, more=[Keep(tmp_path)], **options)
    expected = train_plainly(twin.double(), 2, samples=2 * data(1))
    for rank in range(2):
        assert_same(torch.load(tmp_path / f'rank{rank}.pt'), expected)
