"""Pictures in, objects out: the inferencer of detectors."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from PIL import Image
from torchvision.transforms.v2 import functional as F

from a2sg_zoo.apis.base import TOOL, Inferencer
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.files import write_output
from a2sg_zoo.visualization import draw_objects, predicted_objects


class DetectionInferencer(Inferencer):
    """Finds objects in pictures.

    A prediction is dict(input=path or None, objects=[...]), the best object first. An object is dict(label=number of
    the class, name=of the class, score=its probability, box=[x1, y1, x2, y2] in pixels of the picture). A network with
    masks adds masks=bool (N, H, W). With `out_dir`, the picture with boxes and masks goes to NAME.png. See `Inferencer`
    for arguments.

    Attributes:
        score: smallest score of an object that is told; 0.3.
    """

    task = 'detection'
    score = 0.3

    def _init_pipeline(self, cfg: Any) -> Any:
        if not {*self.description.resize} <= {'size', 'max_size', 'interpolation'}:
            raise ConfigError(f'these weights do not say how a picture is resized: resize = {self.description.resize}')
        return super()._init_pipeline(cfg)

    def preprocess_image(self, image: np.ndarray) -> dict[str, Any]:
        """Resize a picture (H, W, 3) as the pictures of the test were."""
        inputs = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
        resize = self.description.resize
        if resize:
            mode = resize.get('interpolation', F.InterpolationMode.BILINEAR)
            inputs = F.resize(inputs, [resize['size']], mode, resize.get('max_size'))
        sizes = dict(ori_shape=tuple(image.shape[:2]), img_shape=tuple(inputs.shape[-2:]))
        return dict(inputs=inputs, data_samples=BaseDataElement(metainfo=sizes))

    def answer(self, output: BaseDataElement) -> torch.Tensor:
        """The scores; the network itself refuses to answer with NaN or infinity."""
        return output.pred_instances.scores

    def predict(self, output: BaseDataElement, image: np.ndarray) -> dict[str, Any]:
        """The objects, as in the class's description."""
        found = [item for item in predicted_objects(output.pred_instances) if item['score'] >= self.score]
        names = self.description.classes
        objects = [
            dict(label=item['label'], name=names[item['label']], score=item['score'], box=item['box']) for item in found
        ]
        if 'masks' not in output.pred_instances:
            return dict(objects=objects)
        masks = [item['mask'] for item in found]
        return dict(objects=objects, masks=np.stack(masks) if masks else np.zeros((0, *image.shape[:2]), bool))

    def draw(self, image: np.ndarray, prediction: dict[str, Any], path: Path) -> Path:
        """Write the picture with its objects; returns its path."""
        masks = prediction.get('masks', [None] * len(prediction['objects']))
        objects = [dict(item, mask=mask) for item, mask in zip(prediction['objects'], masks)]
        drawn = draw_objects(image, objects, self.description.palette, self.description.classes)
        return write_output(Image.fromarray(drawn), path.with_name(f'{path.name}.png'), TOOL)
