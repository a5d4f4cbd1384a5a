"""From an integer graph to a streaming accelerator: folding, units, FIFO depths, cycle model, memory files, build folders. No torch."""

from qlight.hardware.affine_fit import fit_thresholds
from qlight.hardware.boards import Board, Resources, board_names, load_board
from qlight.hardware.build import Build, load_build, write_build
from qlight.hardware.cycles import Cycles, cycles, image_ends
from qlight.hardware.folding import Fold, Folding, choose
from qlight.hardware.hls_build import HlsBuild, load_hls_build, write_hls_build
from qlight.hardware.layers import Layer, layers
from qlight.hardware.packing import memory_files, parameter_words
from qlight.hardware.picture import save_picture
from qlight.hardware.pipeline import Pipeline, make_pipeline
from qlight.hardware.plan import Plan, load_folding, make_plan
from qlight.hardware.resources import unit_resources

__all__ = [
    "Board",
    "Build",
    "Cycles",
    "Fold",
    "Folding",
    "HlsBuild",
    "Layer",
    "Pipeline",
    "Plan",
    "Resources",
    "board_names",
    "choose",
    "cycles",
    "fit_thresholds",
    "image_ends",
    "layers",
    "load_board",
    "load_build",
    "load_folding",
    "load_hls_build",
    "make_pipeline",
    "make_plan",
    "memory_files",
    "parameter_words",
    "save_picture",
    "unit_resources",
    "write_build",
    "write_hls_build",
]
