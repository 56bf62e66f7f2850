"""From raw texts and pictures to feature files: resumable, and safe with whatever is found."""

from .encoder import Encoder
from .image_encoder import TimmEncoder, VisionTower, image_encoder
from .inputs import Inputs, Pictures, Texts, all_items
from .job import Summary, extract, report_path
from .text_encoder import TextEncoder
from .texts import Template, clean

__all__ = [
    "Encoder",
    "Inputs",
    "Pictures",
    "Summary",
    "Template",
    "TextEncoder",
    "Texts",
    "TimmEncoder",
    "VisionTower",
    "all_items",
    "clean",
    "extract",
    "image_encoder",
    "report_path",
]
