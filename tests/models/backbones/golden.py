"""Compares a backbone with stored outputs of the published implementation."""

import json

import torch
from safetensors import safe_open


class Golden:
    """One reference file: input, official weights, output, cotangent R, and d(sum(output * R)) / d(input)."""

    def __init__(self, path):
        with safe_open(path, 'pt') as file:
            self.meta = json.loads(file.metadata()['meta'])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        self.state_dict = {k.removeprefix('state_dict/'): v for k, v in tensors.items() if k.startswith('state_dict/')}
        self.input, self.output = tensors['input'].double(), tensors['output']
        self.cotangent, self.grad_input = tensors['cotangent'], tensors['grad_input']
        self.kwargs = self.meta['kwargs']

    def errors(self, forward):
        """Relative errors (max over max) of output and input gradient of `forward`, in float64."""
        x = self.input.clone().requires_grad_()
        output = forward(x)
        (grad,) = torch.autograd.grad((output * self.cotangent).sum(), x)
        return relative(output, self.output), relative(grad, self.grad_input)

    def load(self, backbone):
        """The official weights into `backbone` (float64, eval), every one of its parameters and buffers set."""
        weights, dropped = type(backbone).from_official(self.state_dict)
        result = backbone.double().eval().load_state_dict(weights, strict=False)
        assert not result.unexpected_keys, result.unexpected_keys
        assert all(k.endswith(('.beta', 'num_batches_tracked')) for k in result.missing_keys), result.missing_keys
        return dropped

    def linear(self, name, x):
        """An official linear layer applied to the last axis of x."""
        return x @ self.state_dict[f'{name}.weight'].double().T + self.state_dict[f'{name}.bias'].double()


def relative(a, b):
    return float((a - b).detach().abs().max() / b.abs().max())
