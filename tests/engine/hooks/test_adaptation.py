"""The hook's log: plain data, complete, and cut back to the checkpoint on resume."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import get_priority
from torch import nn

from a2sg_zoo.adaptation import A2SG, Fixed, policies
from a2sg_zoo.engine.hooks import AdaptationHook, FrozenHook, GrowTimeSteps, MembraneLoss, NarrowDelays, StopMixing
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import LIF, multistep_reference
from a2sg_zoo.registry import HOOKS


class Runner:
    """As much of MMEngine's runner as the hook touches."""

    def __init__(self, work_dir, model, accumulation=1):
        self.work_dir, self.model, self.iter, self.seed = str(work_dir), model, 0, 3
        self.max_iters = 100
        self.optim_wrapper = SimpleNamespace(_accumulative_counts=accumulation)
        self.scalars, self.warnings = {}, []
        self.visualizer = SimpleNamespace(add_scalars=lambda scalars, step: self.scalars.update({step: scalars}))
        self.lines = []
        self.logger = SimpleNamespace(warning=self.warnings.append, info=self.lines.append)

    def run(self, hook, iterations, x):
        hook.before_run(self)
        hook.before_train(self)
        for _ in range(iterations):
            hook.before_train_iter(self, self.iter)
            s = self.model(x)
            (s * torch.randn_like(s)).sum().backward()
            hook.after_train_iter(self, self.iter)
            self.iter += 1
        return [json.loads(line) for line in (hook.log).read_text().splitlines()]


class Network(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(6, 40), LIF(), nn.Linear(40, 30), LIF())


@pytest.fixture
def x():
    return 8 * torch.randn(4, 50, 6)


def test_log(tmp_path, x):
    hook = AdaptationHook(dict(type='A2SG', searcher=dict(type='ExactSearcher')), log_interval=2, charts='steps')
    runner = Runner(tmp_path, Network())
    records = runner.run(hook, 5, x)
    assert [r['iter'] for r in records] == [2, 4] == list(runner.scalars)
    assert list(records[0]['layers']) == ['1', '3']
    assert {'width/1/t4', 'tgc/3/t1', 'sgv/1', 'cv/1/t2', 'rate/3', 'u_mean/1/t1', 'u_std/3/t4'} <= set(
        runner.scalars[2]
    )
    assert len(runner.lines) == 2 and all(
        part in runner.lines[0] for part in ('A2SG', 'width', 'SGV', 'TGC', 'spatial', 'temporal')
    )


def test_charts_are_few_unless_asked_for(tmp_path, x):
    counts = {}
    for detail in ('network', 'layers', 'steps'):
        hook = AdaptationHook(Fixed(), log_interval=1, charts=detail)
        runner = Runner(tmp_path, Network())
        (record,) = runner.run(hook, 1, x)[-1:]
        counts[detail] = len(runner.scalars[1])
        widths = [beta for layer in record['layers'].values() for beta in layer['beta']]
        assert runner.scalars[1]['width/mean'] == pytest.approx(sum(widths) / len(widths))
        assert runner.scalars[1]['width/min'] == min(widths) and runner.scalars[1]['width/max'] == max(widths)
        rates = [layer['rate'] for layer in record['layers'].values()]
        assert runner.scalars[1]['rate/mean'] == pytest.approx(sum(rates) / len(rates))
    # 7 statistics of 2 layers, 5 of these for 4 time steps, or 3 for the differences between them
    assert counts['network'] == 9 and counts['layers'] == 9 + 14 and counts['steps'] == 9 + 14 + 2 * (4 * 4 + 3)
    with pytest.raises(ConfigError, match='charts'):
        AdaptationHook(Fixed(), charts='all')


@pytest.mark.parametrize('hook', [FrozenHook, GrowTimeSteps, MembraneLoss, NarrowDelays, StopMixing])
def test_a_policy_measures_the_network_that_the_iteration_trains(hook):
    assert get_priority(hook.priority) < get_priority(AdaptationHook.priority)


def iterations_of(records):
    return [record['iter'] for record in records]


@pytest.mark.parametrize(
    'interval, log_interval, iterations',
    [(1, 3, [3, 6, 9, 12]), (4, 4, [1, 5, 9, 13]), (4, 2, [1, 5, 9, 13]), (4, 5, [5, 9, 13]), (3, 4, [4, 7, 10])],
)
def test_each_log_point_has_the_last_search_up_to_it(tmp_path, x, interval, log_interval, iterations):
    """Windows chosen for one batch and gradients of a later one are no pair."""
    policy = A2SG(searcher=dict(type='ExactSearcher'), interval=interval)
    records = Runner(tmp_path, Network()).run(AdaptationHook(policy, log_interval), 13, x)
    assert iterations_of(records) == iterations
    # nothing was searched but in the iterations of the log, and each of these searched
    assert all((i - 1) % interval == 0 for i in iterations)
    assert all(share is not None for record in records for share in record['on_bound'].values())


def test_a_line_is_of_the_windows_that_its_own_batch_chose(tmp_path, x):
    policy = A2SG(searcher=dict(type='ExactSearcher'), interval=4)
    seen = []

    class Spy(AdaptationHook):
        def after_train_iter(self, runner, *args, **kwargs):
            super().after_train_iter(runner, *args, **kwargs)
            seen.append((policy.searching, policy.observing))

    Runner(tmp_path, Network()).run(Spy(policy, log_interval=3), 12, x)
    assert seen.count((True, True)) == 3 and (False, True) not in seen


def test_resume_repeats_the_lines_of_a_run_that_searches_now_and_then(tmp_path, x):
    def hook():
        return AdaptationHook(A2SG(searcher=dict(type='ExactSearcher'), interval=4), log_interval=3)

    whole = iterations_of(Runner(tmp_path, Network()).run(hook(), 20, x))
    for stop in (1, 4, 5, 6, 11):
        Runner(tmp_path, Network()).run(hook(), 13, x)
        again = Runner(tmp_path, Network())
        again.iter = stop
        assert iterations_of(again.run(hook(), 20 - stop, x)) == whole


def test_gradient_accumulation_is_logged_where_it_searches(tmp_path, x):
    hook = AdaptationHook(A2SG(searcher=dict(type='ExactSearcher'), interval=2), log_interval=4)
    records = Runner(tmp_path, Network(), accumulation=3).run(hook, 13, x)
    assert iterations_of(records) == [1, 7, 13]


def test_moments_of_the_potentials(tmp_path, x):
    model = Network()
    hook = AdaptationHook(Fixed(), log_interval=1)
    (record,) = Runner(tmp_path, model).run(hook, 1, x)
    current = model[0](x).detach()
    u, v = [], torch.zeros_like(current[0])
    for x_t in current:
        u.append(v + (x_t - v) / 2)
        v = u[-1] * (u[-1] < 1)
    assert record['layers']['1']['u_mean'] == pytest.approx([float(x.mean()) for x in u], rel=1e-5)
    assert record['layers']['1']['u_std'] == pytest.approx([float(x.std(correction=0)) for x in u], rel=1e-5)


def test_a_layer_without_gradient_is_null_not_nan(tmp_path, x):
    model = Network()
    nn.init.constant_(model[0].bias, -1000)  # never fires, never near the threshold
    records = Runner(tmp_path, model).run(AdaptationHook(Fixed(), log_interval=1), 1, x)
    layer = records[0]['layers']['1']
    assert layer['sgv'] is None and layer['tgc'] == [None] * 3 and layer['rate'] == 0
    assert 'on_bound' not in records[0]


def test_resume_forgets_what_came_after_the_checkpoint(tmp_path, x):
    hook = AdaptationHook(Fixed(), log_interval=1)
    first = Runner(tmp_path, Network())
    first.run(hook, 5, x)
    with open(hook.log, 'a') as file:
        file.write('{"iter": 6, "lay')  # a kill in the middle of a line
    again = Runner(tmp_path, Network())
    again.iter = 3
    assert [r['iter'] for r in again.run(AdaptationHook(Fixed(), log_interval=1), 2, x)] == [1, 2, 3, 4, 5]


def test_gradient_accumulation_searches_on_the_first_micro_batch(tmp_path, x):
    policy = A2SG(searcher=dict(type='ExactSearcher'), interval=2)
    runner = Runner(tmp_path, Network(), accumulation=3)
    hook = AdaptationHook(policy, log_interval=100)
    hook.before_run(runner)
    searched = []
    for runner.iter in range(12):
        hook.before_train_iter(runner, runner.iter)
        searched.append(policy.searching)
    assert searched == [True] + [False] * 5 + [True] + [False] * 5


def test_warns_once_when_the_bounds_decide(tmp_path, x):
    policy = A2SG(surrogate=dict(type='TRI'), searcher=dict(type='ExactSearcher'), beta_max=0.6)
    runner = Runner(tmp_path, Network())
    records = runner.run(AdaptationHook(policy, log_interval=1), 3, x)
    assert records[0]['on_bound']['temporal'] > 0.5
    assert len(runner.warnings) == 1 and '[0.1, 0.6]' in runner.warnings[0]


def test_from_a_config():
    assert isinstance(HOOKS.build(dict(type='AdaptationHook', policy=dict(type='STASG'))).policy.surrogate.beta, float)
    with pytest.raises(ConfigError, match="'A2GS'.*'A2SG'"):
        HOOKS.build(dict(type='AdaptationHook', policy=dict(type='A2GS')))


def test_policy_is_prepared_once_a_step_and_told_the_progress(tmp_path, x):
    seen = []

    class Curious(Fixed):
        def prepare(self, model, data_batch, iteration):
            seen.append((model, data_batch, iteration))

        def begin(self, iteration, micro_batch=0, observe=False, seed=0, progress=0.0):
            super().begin(iteration, micro_batch, observe, seed, progress)
            seen.append((iteration, micro_batch, progress))

    runner = Runner(tmp_path, Network(), accumulation=2)
    hook = AdaptationHook(Curious())
    hook.before_run(runner)
    for _ in range(4):
        hook.before_train_iter(runner, runner.iter, data_batch='batch')
        runner.iter += 1
    assert seen == [
        (runner.model, 'batch', 0),
        (0, 0, 0.0),
        (0, 1, 0.01),
        (runner.model, 'batch', 1),
        (1, 0, 0.02),
        (1, 1, 0.03),
    ]


def test_weights_of_another_run_bring_no_windows(tmp_path):
    """They are loaded between `before_run` and `before_train`, whether a run begins or is resumed."""
    loaded = Network()
    for beta, neuron in zip((0.3, 0.7), (loaded[1], loaded[3])):
        neuron.beta = torch.tensor([beta, 2 * beta])
    for iteration, expected in ((0, [[1.0], [1.0]]), (5, loaded_windows(loaded))):
        hook, runner = AdaptationHook(Fixed(dict(type='TRI', beta=1.0))), Runner(tmp_path, Network())
        runner.iter = iteration
        hook.before_run(runner)
        runner.model.load_state_dict(loaded.state_dict())
        hook.before_train(runner)
        assert loaded_windows(runner.model) == expected


def loaded_windows(model):
    return [model[1].beta.tolist(), model[3].beta.tolist()]


@pytest.mark.parametrize('accumulation', [1, 4])
def test_sgv_is_that_of_the_loss(tmp_path, x, accumulation):
    """Not of what a gradient scaler, whose factor changes, or the mean over micro-batches makes of it."""
    records = []
    for scale in (None, 65536.0):
        torch.manual_seed(0)
        hook, runner = AdaptationHook(Fixed(), log_interval=1), Runner(tmp_path / str(scale), Network(), accumulation)
        Path(runner.work_dir).mkdir()
        if scale:
            runner.optim_wrapper.loss_scaler = SimpleNamespace(get_scale=lambda scale=scale: scale)
        runner.model.register_full_backward_pre_hook(
            lambda module, grad, factor=(scale or 1.0) / accumulation: (grad[0] * factor,)
        )
        records.append(runner.run(hook, 1, x.clone().requires_grad_())[0]['layers'])
    torch.manual_seed(0)
    plain = Runner(tmp_path, Network()).run(AdaptationHook(Fixed(), log_interval=1), 1, x)[0]['layers']
    for found in records:
        for name in ('1', '3'):
            assert found[name]['sgv'] == pytest.approx(plain[name]['sgv'], rel=1e-5)
            assert found[name]['cv'] == pytest.approx(plain[name]['cv'], rel=1e-5)


def test_neurons_that_ask_no_controller_end_the_first_iteration(tmp_path, x):
    class OwnForward(LIF):
        def forward(self, x):
            return multistep_reference(x, self.rate, self.dynamics, self.surrogate, 1.0)

    def network():
        return nn.Sequential(nn.Linear(6, 40), OwnForward(), nn.Linear(40, 30), OwnForward())

    with pytest.raises(ConfigError, match=r'1 \(OwnForward\), 3 \(OwnForward\)'):
        Runner(tmp_path, network()).run(AdaptationHook(A2SG(), log_interval=1), 2, x)
    Runner(tmp_path, network()).run(AdaptationHook(Fixed(), log_interval=1), 2, x)  # there is nothing to ask


def test_a_starving_layer_is_named(tmp_path, x, monkeypatch):
    told = []
    monkeypatch.setattr(policies, 'print_log', lambda text, *args: told.append(text))
    model = Network()
    nn.init.constant_(model[2].bias, -90)  # far from the threshold
    Runner(tmp_path, model).run(AdaptationHook(A2SG(), log_interval=9), 10, x)
    assert len(told) == 1 and re.search(r'3 \(t = 4, width 1, 0.00% inside\)', told[0]) and '1 (t' not in told[0]


def test_neurons_outside_the_backbone_know_its_time_steps(tmp_path):
    model = nn.Module()
    model.backbone, model.head = nn.Linear(2, 2), LIF()
    model.backbone.T = 3
    AdaptationHook(A2SG()).before_run(Runner(tmp_path, model))
    assert model.head.beta.shape == (3,)
