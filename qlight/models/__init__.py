"""The paper's networks and the LightningModule that trains any of them."""

from qlight.models.blocks import Precision
from qlight.models.cifar10 import CIFAR10Network
from qlight.models.classifier import Classifier
from qlight.models.network import PaperNetwork
from qlight.models.registry import build_network
from qlight.models.svhn import SVHNNetwork

__all__ = ["CIFAR10Network", "Classifier", "PaperNetwork", "Precision", "SVHNNetwork", "build_network"]
