"""The hook that trains a network under a policy, and writes a log of what the policy does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from a2sg_zoo.adaptation import AdaptivePolicy, Policy, attach
from a2sg_zoo.adaptation.records import CHARTS, charts, plain, summary_line
from a2sg_zoo.compat import accumulation_steps
from a2sg_zoo.engine.logs import append_record, drop_records_after, tolerated
from a2sg_zoo.engine.schedules import progress
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import HOOKS, POLICIES
from a2sg_zoo.utils.models import unwrap_model

if TYPE_CHECKING:
    from mmengine.runner import Runner


@HOOKS.register_module()
class AdaptationHook(Hook):
    """Trains a network under a surrogate-gradient policy.

    Every `log_interval` iterations, for each layer: beta, SGV, TGC, CV, firing rate, and mean and standard deviation of
    the membrane potential go as one line of JSON to `adaptation.jsonl` in the run's folder, their means over the
    network to TensorBoard (and whatever else the visualizer writes to), and the most telling of them to the text log:

        {"iter": 100, "layers": {NAME: {"beta": [T], "sgv": x, "tgc": [T - 1], "cv": [T], "rate": x,
                                        "u_mean": [T], "u_std": [T]}},
         "on_bound": {"spatial": share, "temporal": share}}

    where a statistic without a value (no gradient reached the layer) is null, and on_bound is the share of all searches
    since the last line that ended on a bound of their space. If more than half of the searches do, the hook warns that
    the bounds decide, and not the objective. SGV is that of the loss itself, without the factors of a gradient scaler
    and of gradient accumulation.

    A resumed run continues with the widths of its checkpoint. A new run starts with the widths of its policy, also if
    it loads the weights of another network (`load_from`, `init_cfg`).

    A policy may measure the network before a step. So a hook that changes the network in `before_train_iter` needs a
    higher priority than this one, such as 'HIGH'.

    Args:
        policy: a `Policy` or its config.
        log_interval: number of iterations between two lines of the log. Where widths are not searched in every step, a
            line describes the latest search before it, because widths and gradients of different batches are no pair.
        charts: detail of the charts in TensorBoard: 'network' for means over all layers, 'layers' for one chart a
            statistic and layer, 'steps' for one a time step of these. The file holds all of them.

    Raises:
        ConfigError: an argument has a value that it cannot have; in the first iteration, if neurons ask no controller.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self, policy: Policy | dict, log_interval: int = 50, charts: str = 'network') -> None:
        self.policy = policy if isinstance(policy, Policy) else POLICIES.build(policy)
        self.log_interval = log_interval
        if charts not in CHARTS:
            raise ConfigError(f'AdaptationHook: charts must be one of {", ".join(map(repr, CHARTS))}, got {charts!r}')
        self.charts = charts
        self._warned = False

    def before_run(self, runner: Runner) -> None:
        """Puts the network under the policy, before a resumed run loads its widths."""
        self.model = unwrap_model(runner.model)
        backbone = getattr(self.model, 'backbone', self.model)
        self.neurons = attach(self.model, self.policy, getattr(backbone, 'T', None))
        self.log = Path(runner.work_dir) / 'adaptation.jsonl'

    def before_train(self, runner: Runner) -> None:
        """Starts a new run with the widths of the policy; removes later records from the log of a resumed run."""
        if runner.iter == 0:
            for neuron in self.neurons.values():
                self.policy.adopt(neuron)
        if is_main_process():
            drop_records_after(self.log, runner.iter, 'layers')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Tells the policy that a training step begins."""
        accumulation = accumulation_steps(runner.optim_wrapper)
        iteration, micro_batch = divmod(runner.iter, accumulation)
        if micro_batch == 0:
            self.policy.prepare(self.model, data_batch, iteration)
        self.policy.begin(
            iteration,
            micro_batch,
            seed=runner.seed or 0,
            progress=progress(runner),
            observe=self._due(runner.iter, accumulation) and is_main_process(),
        )
        if self.policy.observing:
            # read now, because the step may change it
            self._scale = _loss_scale(runner.optim_wrapper) / accumulation

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Writes the log, if a line is due."""
        self.policy.check_asked(trained=True)
        if self.policy.observing:
            record = dict(iter=runner.iter + 1, layers=self._layers())
            if isinstance(self.policy, AdaptivePolicy):
                record['on_bound'] = self._share_on_bound(runner)
            append_record(self.log, record)
            with tolerated(runner.work_dir):
                runner.visualizer.add_scalars(charts(record, self.charts), step=runner.iter + 1)
            runner.logger.info(summary_line(type(self.policy).__name__, record))

    def _due(self, iteration, accumulation):
        """Whether a line is due in this iteration or, where widths are searched, before the next search.

        It depends on the iteration alone, so a resumed run writes the same lines.
        """
        period = self.policy.interval * accumulation if isinstance(self.policy, AdaptivePolicy) else 1
        return iteration % period == 0 and (iteration + period) // self.log_interval > iteration // self.log_interval

    def _layers(self):
        """The records of the policy as plain data."""
        records = {
            name: self.policy.records[neuron] for name, neuron in self.neurons.items() if neuron in self.policy.records
        }
        return plain(records, self._scale)

    def _share_on_bound(self, runner):
        policy, share = self.policy, {}
        for kind, searches in policy.searches.items():
            share[kind] = float(policy.on_bound[kind]) / searches if searches else None
            policy.searches[kind] = policy.on_bound[kind] = 0
        worst = {kind: x for kind, x in share.items() if x is not None and x > 0.5}
        if worst and not self._warned:
            self._warned = True
            runner.logger.warning(
                f'{", ".join(f"{x:.0%} of the {kind} searches" for kind, x in worst.items())} end on a bound of the '
                f'search space [{policy.grid[0]:g}, {policy.grid[-1]:g}] x v_threshold: the bounds decide beta there. '
                'Consider other bounds, another normalisation of the surrogate, or objective="cv". (Said once.)'
            )
        return share


def _loss_scale(optim_wrapper):
    scaler = getattr(optim_wrapper, 'loss_scaler', None)
    return scaler.get_scale() if scaler else 1.0
