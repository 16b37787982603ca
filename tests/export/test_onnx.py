import json

import numpy as np
import pytest
import torch

from a2sg_zoo.export.deployed import Deployed, exportable
from a2sg_zoo.neurons import ILIF, Neuron
from a2sg_zoo.registry import NEURONS
from tests.backbones.test_families import FAMILIES
from tests.export.networks import classifier

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxscript')
from a2sg_zoo.export.to_onnx import to_onnx  # noqa: E402
