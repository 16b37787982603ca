"""The callback for Hugging Face's Trainer: a training is the plain loop, step by step, whatever the Trainer is told."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from a2sg_zoo.adaptation import A2SG, Dspike, EvolvingTanh, Fixed
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import PSN
from tests.integrations.networks import BATCH, MAKE, Network, assert_same, data, result, train_plainly, twins

transformers = pytest.importorskip('transformers')
pytest.importorskip('accelerate')


class Model(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x, labels):
        logits = self.network(x)
        return dict(loss=F.cross_entropy(logits, labels), logits=logits)


class InOrder(transformers.Trainer):
    def _get_train_sampler(self, *args):
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def create_optimizer(self, *args):
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        return self.optimizer


def fit(network, batches, tmp_path, policy=None, resume=None, callback={}, samples=None, late=None, **options):
    from a2sg_zoo.integrations.transformers import AdaptationCallback

    callback = AdaptationCallback(policy or A2SG(), **callback)
    arguments = dict(
        output_dir=str(tmp_path),
        use_cpu=True,
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        lr_scheduler_type='constant',
        max_grad_norm=0.0,
        report_to=[],
        save_strategy='no',
        disable_tqdm=True,
    )
    samples = [dict(x=x, labels=y) for x, y in samples or data(batches)]
    arguments = transformers.TrainingArguments(**arguments | options)
    model = (
        dict(model_init=lambda: Model(copy.deepcopy(network))) if late == 'model_init' else dict(model=Model(network))
    )
    callbacks = [] if late == 'add_callback' else [callback]
    trainer = InOrder(**model, args=arguments, train_dataset=samples, callbacks=callbacks)
    if late == 'add_callback':
        trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=resume)
    return callback, result(trainer.model.network, {k.removeprefix('network.'): x for k, x in callback.layers.items()})


@pytest.mark.parametrize('make', MAKE)
def test_a_training(make, tmp_path):
    network, twin = twins(MAKE[make])
    callback, found = fit(network, 4, tmp_path)
    assert list(callback.layers) == ['network.n1', 'network.n2']
    assert_same(found, train_plainly(twin, 4, seed=42))


@pytest.mark.parametrize('late', ['model_init', 'add_callback'])
def test_a_network_that_comes_after_the_start(late, tmp_path):
    network, twin = twins(MAKE['ours'])
    _, found = fit(network, 4, tmp_path, late=late)
    assert_same(found, train_plainly(twin, 4, seed=42))


def test_parameters_that_come_after_the_optimizer(tmp_path):
    with pytest.raises(ConfigError, match='T = 4.*set_time_steps'):
        fit(nn.Sequential(nn.Linear(6, 5), PSN()), 1, tmp_path, Fixed(), callback=dict(T=4), late='model_init')


def test_gradient_accumulation_and_autocast(tmp_path):
    network, twin = twins(MAKE['SpikingJelly'])
    policies = A2SG(), A2SG()
    _, found = fit(network, 6, tmp_path, policies[0], gradient_accumulation_steps=2, bf16=True)
    assert_same(found, train_plainly(twin, 6, 2, True, policy=policies[1]))
    assert policies[0].searches == policies[1].searches == dict(spatial=6, temporal=18)  # 2 layers, 3 steps


def test_statistics_and_fused_nodes(tmp_path):
    pytest.importorskip('spikingjelly')
    callback, _ = fit(Network(MAKE['SpikingJelly']), 3, tmp_path, callback=dict(observe_every=2, fuse=True))
    assert [layer.fused for layer in callback.layers.values()] == [True, False]
    assert callback.policy.records[callback.layers['network.n1']]['sgv'].isfinite()


def test_sgv_is_that_of_the_loss_itself(tmp_path):
    options = dict(samples=2 * data(1), max_steps=1, callback=dict(observe_every=1))
    callback, _ = fit(Network(), 0, tmp_path, Fixed(), **options)
    other, _ = fit(Network(), 0, tmp_path, Fixed(), gradient_accumulation_steps=2, **options)
    expected, found = (x.policy.records[x.layers['network.n1']] for x in (callback, other))
    torch.testing.assert_close(found['sgv'], expected['sgv'])
    scaler = torch.amp.GradScaler('cpu', init_scale=4.0)
    callback.on_pre_optimizer_step(None, None, None, optimizer=SimpleNamespace(scaler=scaler))
    assert callback.policy.records[callback.layers['network.n1']]['sgv'] == expected['sgv'] / 4


def test_a_policy_that_needs_the_batch(tmp_path):
    with pytest.raises(ConfigError, match='Dspike.*prepare'):
        fit(Network(), 1, tmp_path, Dspike())


def test_policies_are_told_the_progress(tmp_path):
    policy = EvolvingTanh()
    fit(Network(), 4, tmp_path, policy)
    assert policy.K > 1


def test_widths_of_another_device_are_read(tmp_path, monkeypatch):
    from a2sg_zoo.integrations.transformers import AdaptationCallback

    network, callback = Network(MAKE['SpikingJelly']), AdaptationCallback(A2SG())
    args, state = SimpleNamespace(output_dir=tmp_path, should_save=True), SimpleNamespace(global_step=5)
    callback.on_init_end(args, state, None, model=network)
    (tmp_path / 'checkpoint-5').mkdir()
    with monkeypatch.context() as context:
        context.setattr(torch.serialization, 'location_tag', lambda storage: 'cuda:99')
        callback.on_save(args, state, None)
    callback.on_train_begin(args, state, None, model=network)


def test_a_resumed_training(tmp_path):
    """With a search in every third step, the third step depends on the widths of the checkpoint."""
    network = Network(MAKE['SpikingJelly'])
    _, whole = fit(network, 4, tmp_path, A2SG(interval=3), save_strategy='steps', save_steps=2)
    checkpoint = str(tmp_path / 'checkpoint-2')

    def resume(output_dir, **options):
        return fit(Network(MAKE['SpikingJelly']), 4, output_dir, A2SG(interval=3), checkpoint, **options)[1]

    assert_same(resume(tmp_path), whole)
    assert_same(resume(tmp_path / 'other', callback=dict(resume_from_checkpoint=checkpoint)), whole)
    with pytest.raises(ConfigError, match='surrogate_widths.*resume_from_checkpoint'):
        resume(tmp_path / 'other')
    for late in ('model_init', 'add_callback'):
        with pytest.raises(ConfigError, match=late):
            resume(tmp_path, late=late)
