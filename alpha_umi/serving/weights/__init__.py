"""Model folders in the user's cache: the embedded backbone, and role models merged from trained adapters.

Every folder is complete and verified, or absent. torch is imported only when a folder has to be built.
"""

from alpha_umi.serving.weights.adapters import embedded_role_model, ensure_named_model, ensure_role_model
from alpha_umi.serving.weights.backbone import backbone_folder, ensure_backbone
from alpha_umi.serving.weights.errors import WeightsError
from alpha_umi.serving.weights.model_folder import cache_folder
from alpha_umi.serving.weights.progress import Progress, progress_bar, silent

__all__ = [
    "Progress",
    "WeightsError",
    "backbone_folder",
    "cache_folder",
    "embedded_role_model",
    "ensure_backbone",
    "ensure_named_model",
    "ensure_role_model",
    "progress_bar",
    "silent",
]
