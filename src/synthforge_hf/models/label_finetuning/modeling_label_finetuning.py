"""Label fine-tuning, the paper's Stage II (section 3.3): a frozen backbone and one small network per task.

The backbone was trained on labels that are exact but follow their generator's conventions. A label network maps its
prediction, optionally together with its feature map, to the labels of another data set: other landmarks, other classes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel
from transformers import initialization as init

from synthforge_hf.models.label_finetuning.configuration_label_finetuning import SynthForgeForLabelFinetuningConfig
from synthforge_hf.models.synthforge.heatmaps import Heatmaps
from synthforge_hf.models.synthforge.layers import ConvNormAct, Hourglass, UNet
from synthforge_hf.models.synthforge.modeling_synthforge import (
    SynthForgeModel,
    SynthForgeOutput,
    SynthForgePreTrainedModel,
    full_precision,
)
from synthforge_hf.models.synthforge.supervision import Labels, supervised_losses, weighted_sum

SMALLEST_PROBABILITY = 1e-4
"""Of a class in a fitted start; keeps what was never seen together possible."""


class ZeroConv2d(nn.Conv2d):
    """Convolution that starts at zero, so that training starts at the backbone's own prediction."""


class ZeroLinear(nn.Linear):
    """The same for a linear layer."""


class ShapeCorrection(nn.Module):
    """Where the points of one scheme lie, as a linear function of all points of another."""

    def __init__(self, known: int, points: int) -> None:
        super().__init__()
        self.linear = ZeroLinear(2 * known, 2 * points)

    def forward(self, points: Tensor) -> Tensor:
        """Map (B, P', 2) landmarks to (B, P, 2) displacements in the same frame."""
        shape, size = normalised_shape(points)
        return self.linear(shape.flatten(1)).unflatten(1, (-1, 2)) * size


def normalised_shape(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, P, 2) points around their centre in units of their size, and the (B, 1, 1) size: the mean distance
    from the centre."""
    centred = points - points.mean(dim=1, keepdim=True)
    size = centred.norm(dim=-1).mean(dim=1)[:, None, None]
    return centred / size, size


class ClassTable(nn.Module):
    """Probabilities of one scheme's classes as a mixture of those of another: P(new) = sum of P(new | old) P(old)."""

    def __init__(self, known: int, classes: int) -> None:
        super().__init__()
        self.given = ZeroLinear(known, classes, bias=False)

    @torch.no_grad()
    def pair_equal_names(self, known: Mapping[Any, str], names: Mapping[Any, str]) -> None:
        """Let classes of one name go with each other a thousand times as often as with any other class."""
        equal = [[float(name == other) for other in known.values()] for name in names.values()]
        self.given.weight.copy_(torch.tensor(equal) * math.log(1000.0))

    def forward(self, logits: Tensor) -> Tensor:
        """Map (B, C', H, W) logits of the old classes to (B, C, H, W) log-probabilities of the new ones."""
        table = self.given.weight.float().softmax(dim=0)
        mixed = functional.conv2d(logits.float().softmax(dim=1), table[:, :, None, None])
        return mixed.clamp(min=SMALLEST_PROBABILITY).log()


class SegmentationLabelNetwork(nn.Module):
    """UNet on the backbone's class logits; with a fitted start it corrects their translation to the new classes."""

    def __init__(self, config: SynthForgeForLabelFinetuningConfig) -> None:
        super().__init__()
        known, classes = len(config.backbone.id2label or ()), len(config.id2label or ())
        features = config.backbone.feature_channels if config.use_features else 0
        self.table = ClassTable(known, classes) if config.fitted_start else None
        self.unet = UNet(known + features, classes, tuple(config.segmentation_widths or ()))
        if config.fitted_start:
            self.unet.exit = ZeroConv2d(self.unet.exit.in_channels, classes, 1)

    def forward(self, logits: Tensor, features: Tensor | None) -> Tensor:
        """Map (B, C', H, W) logits of the backbone to (B, C, H, W). features: (B, F, H, W), or None."""
        correction = self.unet(_beside(logits, features))
        return correction if self.table is None else self.table(logits) + correction


class LandmarkLabelNetwork(nn.Module):
    """Stacked hourglasses on the backbone's heatmaps; each stack corrects the heatmap of the point it starts from."""

    def __init__(self, config: SynthForgeForLabelFinetuningConfig) -> None:
        super().__init__()
        channels, points, stacks = config.landmark_channels, config.num_landmarks, config.hourglass_stacks
        known = config.backbone.num_landmarks
        nearest = config.nearest_landmarks
        if nearest is None and points == known:
            nearest = tuple(range(known))
        self.nearest = None if nearest is None else list(nearest)
        corrects = config.fitted_start and self.nearest is not None
        self.shape_correction = ShapeCorrection(known, points) if corrects else None
        inputs = known + (config.backbone.feature_channels if config.use_features else 0)
        self.stem = ConvNormAct(inputs, channels)
        self.hourglasses = nn.ModuleList(Hourglass(channels, config.hourglass_levels) for _ in range(stacks))
        self.readouts = nn.ModuleList(ConvNormAct(channels, channels, 1) for _ in range(stacks))
        readout: type[nn.Conv2d] = nn.Conv2d if self.nearest is None else ZeroConv2d
        self.heatmaps = nn.ModuleList(readout(channels, points, 1) for _ in range(stacks))
        self.merge_readouts = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(stacks - 1))
        self.merge_heatmaps = nn.ModuleList(nn.Conv2d(points, channels, 1) for _ in range(stacks - 1))

    def forward(self, landmarks: Tensor, heatmaps: Tensor, features: Tensor | None) -> list[Tensor]:
        """Return one (B, P, h, w) tensor of heatmap logits per stack.

        landmarks: (B, P', 2), heatmaps: (B, P', h, w), each summing to 1, features: (B, F, H', W') or None: of the
        backbone.
        """
        # Divided by its peak a heatmap shows its shape; as probabilities, sharp and spread ones differ by magnitudes.
        inputs = heatmaps / heatmaps.amax(dim=(2, 3), keepdim=True)
        if features is not None:
            shrunk = functional.interpolate(features.float(), size=heatmaps.shape[-2:], mode="area")
            inputs = torch.cat([inputs, shrunk], dim=1)
        start = None if self.nearest is None else heatmaps[:, self.nearest].log()
        if start is not None and self.shape_correction is not None:
            start = moved(start, self.shape_correction(landmarks))
        x = self.stem(inputs)
        logits: list[Tensor] = []
        for stack, hourglass in enumerate(self.hourglasses):
            readout = self.readouts[stack](hourglass(x))
            correction = self.heatmaps[stack](readout)
            logits.append(correction if start is None else start + correction)
            if stack < len(self.merge_readouts):
                x = x + self.merge_readouts[stack](readout) + self.merge_heatmaps[stack](correction)
        return logits


class SynthForgeForLabelFinetuning(SynthForgePreTrainedModel):
    """A backbone whose landmarks, classes or depth are brought to another data set's labels.

    It is frozen, but for its encoder's weights where the configuration says ``train_encoder``.
    """

    config: SynthForgeForLabelFinetuningConfig  # type: ignore[assignment]
    base_model_prefix = "backbone"
    _no_split_modules = ["UNet", "LandmarkHead", "LandmarkLabelNetwork", "SegmentationLabelNetwork"]  # noqa: RUF012

    def __init__(self, config: SynthForgeForLabelFinetuningConfig) -> None:
        super().__init__(config)
        backbone = config.backbone
        self.backbone = SynthForgeModel(backbone)
        tasks, features = config.tasks, backbone.feature_channels if config.use_features else 0
        self.landmark_network = LandmarkLabelNetwork(config) if "landmarks" in tasks else None
        self.segmentation_network = SegmentationLabelNetwork(config) if "segmentation" in tasks else None
        self.depth_network = UNet(1 + features, 1, tuple(config.depth_widths or ())) if "depth" in tasks else None
        self.post_init()

    @classmethod
    def from_backbone(cls, backbone: SynthForgeModel, tasks: Sequence[str], **settings: Any) -> Self:
        """Return a model with fresh label networks on a copy of ``backbone``'s weights.

        tasks, settings: fields of ``SynthForgeForLabelFinetuningConfig``.
        """
        config = SynthForgeForLabelFinetuningConfig(
            backbone_config=backbone.config.to_dict(), tasks=tuple(tasks), **settings
        )
        model = cls(config)
        model.backbone.load_state_dict(backbone.state_dict())
        if model.segmentation_network is not None and model.segmentation_network.table is not None:
            model.segmentation_network.table.pair_equal_names(backbone.config.id2label or {}, config.id2label or {})
        return model

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, ZeroConv2d | ZeroLinear):
            init.zeros_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    def train(self, mode: bool = True) -> Self:
        """Switch the label networks. The backbone's heads are frozen, and its statistics: these never change."""
        super().train(mode)
        self.backbone.requires_grad_(False)
        self.backbone.eval()
        if self.config.train_encoder:
            for parameter in self.backbone.encoder_parameters():
                parameter.requires_grad_(True)
        return self

    def forward(
        self,
        pixel_values: Tensor,
        landmarks: Tensor | None = None,
        landmarks_mask: Tensor | None = None,
        segmentation: Tensor | None = None,
        depth: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> SynthForgeOutput | tuple:
        """Predict in the new label scheme, and compute the losses of the labels that are given.

        Arguments as of ``SynthForgeModel.forward``, labels in the new scheme; a label whose task has no network here
        raises ValueError.
        """
        given = {"landmarks": landmarks, "segmentation": segmentation, "depth": depth}
        for task, label in given.items():
            if label is not None and task not in self.config.tasks:
                raise ValueError(f"labels for '{task}', but this model has label networks for {self.config.tasks} only")
        with torch.set_grad_enabled(self.config.train_encoder and torch.is_grad_enabled()):
            seen: SynthForgeOutput = self.backbone(pixel_values)
        features = seen.features if self.config.use_features else None
        heatmap_logits = (
            []
            if self.landmark_network is None
            else self.landmark_network(seen.landmarks, seen.landmark_heatmaps, features)
        )
        segmentation_logits, raw_depth = seen.segmentation_logits, None
        if self.segmentation_network is not None:
            segmentation_logits = self.segmentation_network(segmentation_logits, features)
        if self.depth_network is not None:
            backbone = self.config.backbone
            raw_depth = self.depth_network(_beside((seen.depth - backbone.depth_mean) / backbone.depth_scale, features))

        with full_precision(pixel_values.device):
            heatmaps = [Heatmaps.from_logits(logits) for logits in heatmap_logits]
            points = [maps.points() for maps in heatmaps]
            mean, scale = float(self.config.depth_mean or 0), float(self.config.depth_scale or 1)
            metres = seen.depth if raw_depth is None else mean + scale * raw_depth.float()
            labels = Labels(landmarks, landmarks_mask, segmentation, depth)
            backbone = self.config.backbone
            task_losses = supervised_losses(backbone, labels, heatmaps, points, segmentation_logits, metres, scale)
            output = SynthForgeOutput(
                loss=weighted_sum(backbone, task_losses) if task_losses else None,
                losses=task_losses or None,
                landmarks=points[-1] if points else seen.landmarks,
                landmark_heatmaps=heatmaps[-1].probabilities() if heatmaps else seen.landmark_heatmaps,
                segmentation_logits=segmentation_logits,
                depth=metres,
                features=seen.features,
                backbone_landmarks=seen.landmarks,
                backbone_landmark_heatmaps=seen.landmark_heatmaps,
            )
        return output if return_dict is not False else output.to_tuple()


def moved(maps: Tensor, displacements: Tensor) -> Tensor:
    """Move each of (B, P, h, w) maps by its (B, P, 2) displacement in sides of the map; edges are continued outside."""
    height, width = maps.shape[-2:]
    shift = displacements.reshape(-1, 2, 1)
    identity = torch.eye(2, device=maps.device, dtype=shift.dtype).expand(len(shift), 2, 2)
    # Positions of the grid run from -1 to 1, and say where each cell of the result is read.
    grid = functional.affine_grid(torch.cat([identity, -2 * shift], dim=2), [len(shift), 1, height, width], False)
    flat = maps.reshape(-1, 1, height, width)
    return functional.grid_sample(flat, grid, padding_mode="border", align_corners=False).view_as(maps)


def _beside(prediction: Tensor, features: Tensor | None) -> Tensor:
    """The input of a label network: (B, C, H, W), with features of any grid (B, C + F, H, W)."""
    if features is None:
        return prediction
    if features.shape[-2:] != prediction.shape[-2:]:
        features = functional.interpolate(features, size=prediction.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([prediction.to(features.dtype), features], dim=1)


AutoModel.register(SynthForgeForLabelFinetuningConfig, SynthForgeForLabelFinetuning, exist_ok=True)
