"""The verb ``export``: a checkpoint as an integer graph, in the format of a tool, or as an accelerator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L

from qlight.errors import InputError
from qlight.evaluation import file_sha256
from qlight.evaluation.batches import first_images
from qlight.hardware import cycles, fit_thresholds, load_board, load_folding, make_pipeline, save_picture, write_build, write_hls_build
from qlight.interop import check_format, write
from qlight.lowering import compare, lower, print_table
from qlight.models import Classifier
from qlight.verbs.base import VerbTrainer, loaded


class ExportTrainer(VerbTrainer):
    """Lightning's Trainer with the verb ``export``."""

    def export(
        self,
        model: Classifier,
        datamodule: L.LightningDataModule | None = None,
        ckpt_path: str | None = None,
        out: str | None = None,
        boundary_bit_width: int = 8,
        activation_bit_width: int = 8,
        weight_bit_width: int = 8,
        calibration: int = 256,
        images: int = 1000,
        format: str = "graph",  # noqa: A002 - what users write
        thresholds: str = "exact",
        folding: dict[str, list[int] | dict[str, int | str]] | str | None = None,
        target_cycles: int | None = None,
        board: str | None = None,
    ) -> Any:
        """Lower a checkpoint to an integer graph, and compare it with torch.

        Args:
            ckpt_path: the checkpoint.
            out: folder of the graph (graph.json, tensors.safetensors), or of graph.onnx; null is one below runs/export named by the network
                and the graph's hash.
            boundary_bit_width: of the weights of the first and the last layer.
            activation_bit_width: of the activations that the network has in float (ReLU).
            weight_bit_width: of the inner weights that the network has in float.
            calibration: images of the validation split on which scales of ReLU activations are found.
            images: images of the test split on which codes, predictions and accuracy are compared; 0 compares nothing.
            format: graph; or qonnx or onnx (plain integer ONNX), for which `out` may also be a file that ends in .onnx (both need the extra
                interop); or rtl: a build folder of the streaming accelerator, for a simulator or a synthesis tool; or hls: one of
                its twin in C++, for C-simulation or Vitis HLS.
            thresholds: exact: those of torch's float32; or affine: of codes of 5 bits and more on affine functions, from which float32's
                rounding moves some by one accumulator, so that an accelerator needs two numbers a channel in their place.
            folding: of rtl and hls: [PE, SIMD] of every layer by name; or {pe: PE, simd: SIMD, multiply: lut, memory: block}, also with
                weights: streamed, port_bits: 64, or requantize: affine (qlight.hardware.folding): products of LUTs or DSPs, weights in
                such a memory or from DRAM, codes by an affine function; or a file of `hardware plan --out`; null chooses PE and SIMD.
            target_cycles: of rtl and hls: the most cycles an image that the folding may take.
            board: of rtl and hls: a name of hw/boards or a .toml file; adds scripts of Vivado for it (folder vivado), and tells Vitis HLS
                part and clock.
        """
        if calibration < 1:
            raise InputError(f"Expected `calibration` to be at least 1 image, but got {calibration}; 256 is the default.")
        if thresholds not in ("exact", "affine"):
            raise InputError(f"Expected `thresholds` to be exact or affine, but got {thresholds!r}; leave it out.")
        if board is not None and format not in ("rtl", "hls"):
            raise InputError(f"Expected `board` with --format rtl or hls only, but got --format {format}; leave it out.")
        if format not in ("rtl", "hls"):
            check_format(format)
            if folding is not None or target_cycles is not None:
                raise InputError(
                    f"Expected `folding` and `target_cycles` with --format rtl or hls only, but got --format {format}; leave them out."
                )
        if board is not None:
            load_board(board)  # refused before anything is computed
        if isinstance(folding, str):
            folding = load_folding(folding, "folding")
        path = loaded(model, ckpt_path)
        model.eval()
        assert datamodule is not None  # the parser asks for it
        metadata = {"checkpoint_sha256": file_sha256(path), "dataset": type(datamodule).__name__}
        needed = model.precision.activation_bit_width == 32
        found = first_images(datamodule, calibration, "val").images if needed else None
        lowered = lower(
            model,
            found,
            boundary_bit_width=boundary_bit_width,
            activation_bit_width=activation_bit_width,
            weight_bit_width=weight_bit_width,
            metadata=metadata,
        )
        if thresholds == "affine":
            fitted = fit_thresholds(lowered.graph)
            lowered = replace(lowered, graph=fitted.graph)
            print(fitted.summary)
        if format in ("rtl", "hls"):
            make_pipeline(lowered.graph, folding, target_cycles)  # refuses a folding before images are computed
        comparison = None
        if images > 0:
            batch = first_images(datamodule, images)
            comparison = compare(lowered, model, batch.images, batch.labels)
        print_table(lowered.graph, comparison)
        digest = lowered.graph.content_hash
        folder = Path(self.default_root_dir) / "export" / f"{model.label}-{digest[:8]}" if out is None else Path(out)
        if format in ("rtl", "hls"):
            if format == "rtl":
                build = write_build(lowered.graph, folder, folding, target_cycles, board)
            else:
                build = write_hls_build(lowered.graph, folder, folding, target_cycles, board)
            save_picture(build.pipeline, folder / "pipeline.png")
            found = cycles(build.pipeline)
            print(f"wrote {folder}: {found.image} cycles an image (slowest: {found.slowest}), the first after {found.latency}")
            return lowered
        written = write(lowered.graph, folder, format)
        print(f"wrote {folder if format == 'graph' else written}: graph {digest[:16]}")
        return lowered
