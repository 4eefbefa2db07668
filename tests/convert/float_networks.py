"""Small networks made of torchvision's own blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.resnet import BasicBlock
from torchvision.models.squeezenet import Fire
from torchvision.models.vgg import VGG, make_layers

SHAPE = (3, 16, 16)


class MiniResNet(nn.Module):
    """A stem with maximum pooling, a block without and one with a convolution in its shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2)
        shortcut = nn.Sequential(nn.Conv2d(4, 8, 1, 2, bias=False), nn.BatchNorm2d(8))
        self.layer1 = nn.Sequential(BasicBlock(4, 4))
        self.layer2 = nn.Sequential(BasicBlock(4, 8, 2, shortcut))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))


class MiniSqueezeNet(nn.Module):
    """Concatenations, and a network that ends with average pooling."""

    def __init__(self) -> None:
        super().__init__()
        stem = (nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True))
        self.features = nn.Sequential(*stem, Fire(4, 2, 4, 4), Fire(8, 2, 4, 4))
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Conv2d(8, 5, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.classifier(self.features(x)), 1)


def mini_mobilenet() -> nn.Module:
    """Depthwise layers, ReLU6, and two residual sums in a row with nothing between them."""
    net = MobileNetV2(
        num_classes=5, width_mult=0.25, round_nearest=4, inverted_residual_setting=[[1, 16, 1, 1], [2, 16, 3, 2]]
    )
    net.features[-1] = nn.Sequential(nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True))
    net.classifier[1] = nn.Linear(8, 5)
    return net


def mini_vgg() -> nn.Module:
    """A chain."""
    net = VGG(make_layers([4, "M", 8, "M"], batch_norm=True), num_classes=5)
    net.avgpool = nn.AdaptiveAvgPool2d(2)
    net.classifier = nn.Sequential(nn.Linear(32, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 5))
    return net


NETWORKS = {
    "resnet": MiniResNet,
    "squeezenet": MiniSqueezeNet,
    "mobilenet": mini_mobilenet,
    "vgg": mini_vgg,
}


def network(name: str) -> nn.Module:
    """A float network of :data:`NETWORKS` whose batch norms are not trivial, in evaluation mode."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    with torch.no_grad():
        for _ in range(20):
            model.train()(torch.rand(8, *SHAPE))
    return model.eval()
