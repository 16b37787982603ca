"""Trained networks for elsewhere: batch norms folded, as ONNX, and as graphs of NIR."""

from .deployed import Deployed, exportable
from .fold import fold_batch_norms
from .to_nir import to_nir
from .to_onnx import to_onnx

__all__ = ['Deployed', 'exportable', 'fold_batch_norms', 'to_nir', 'to_onnx']
