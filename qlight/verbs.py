"""The verbs that a Trainer runs: Lightning's, and ``attack``, ``diagnose`` and ``export``."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import lightning as L
from torch import Tensor, nn

from qlight.analyses import AnalysisTrainer
from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation import evaluate, evaluation_manifest, file_sha256, print_table, read_checkpoint, save_predictions
from qlight.evaluation.attacked import Attacked
from qlight.evaluation.batches import first_images
from qlight.evaluation.diagnostics import Sizes, diagnose, progress_bar
from qlight.evaluation.runner import describe
from qlight.hardware import cycles, fit_thresholds, load_board, load_folding, make_pipeline, save_picture, write_build, write_hls_build
from qlight.interop import check_format, write
from qlight.lowering import compare, lower
from qlight.lowering import print_table as print_layers
from qlight.models import Classifier
from qlight.models.checkpoint import load_classifier, load_weights
from qlight.targets import PackedTarget, RtlSimEngine, Sample, Target, open_target, parse_target
from qlight.targets import certify as replay

ROOT = "runs"


class Trainer(AnalysisTrainer):
    """Lightning's Trainer with qlight's verbs, here and in `qlight.analyses`; ``predict`` also writes a file."""

    def predict(  # type: ignore[override]
        self, model: Any = None, dataloaders: Any = None, datamodule: Any = None, ckpt_path: str | None = None, out: str | None = None
    ) -> Any:
        """Write logits and predicted classes of the test split.

        Args:
            ckpt_path: the checkpoint to predict with.
            out: folder of predictions.npz; null is the run's folder.
        """
        batches = super().predict(model, dataloaders, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=True)
        save_predictions(self, cast(list[dict[str, Tensor]], batches or []), Path(out or self.log_dir or ROOT))
        return batches

    def attack(
        self,
        model: Classifier,
        datamodule: L.LightningDataModule | None = None,
        attacks: AttackSuite | None = None,
        ckpt_path: str | None = None,
        out: str | None = None,
        examples: int = 8,
        seed: int = 0,
        compile: bool = False,  # noqa: A002 - the option is torch's name
        target: str = "torch",
        gradients_from: str | None = None,
        certify: int = 0,
    ) -> Any:
        """Craft adversarial examples from the test split; report adversarial accuracy and distortion.

        An interrupted run goes on where it was when the same command is given again.

        Args:
            attacks: names separated by commas, a YAML file, or a mapping of labels to class_path and init_args (without the model).
            ckpt_path: the checkpoint of the network to attack; not with packed:FOLDER.
            out: folder of the results; null is one below runs/attack that is named by the network and a hash of all that they depend on.
            examples: how many images examples.png shows; 0 writes none.
            seed: of the attacks' random numbers.
            compile: run the network through torch.compile (needs a C++ compiler on CPU).
            target: what is attacked: torch (the network of ckpt_path), torch:CKPT (the same in one word), packed:FOLDER (the integer graph
                that `export` wrote, on the packed CPU engine: 8-bit pixels, no gradients; the model options are not used), rtlsim:FOLDER
                (what `export --format rtl` wrote, the RTL in simulation), csim:FOLDER (what `export --format hls` wrote, the HLS C++), or
                board://HOST:PORT (a board, by its server; ?graph=FOLDER after it insists on that graph).
            gradients_from: a checkpoint; attacks that need gradients craft on it, and are rounded and judged on a target without gradients.
            certify: how many random queries of this run are replayed on the RTL in simulation, which must give the same integers; with
                packed:FOLDER of a build (`export --format rtl`).
        """
        if attacks is None:
            raise InputError("Expected `--attacks` to name the attacks, but got none; for example --attacks FGSM,BIM.")
        name = parse_target(target)
        module: Classifier | Target = model
        path: Path | None = None
        if name.kind == "torch":
            path = _loaded(model, ckpt_path or name.place or None)
        else:
            module = open_target(name)
        certified = _certified(module, certify, name.place, seed)
        elsewhere = None if gradients_from is None else load_classifier(Path(gradients_from), read_checkpoint(gradients_from))
        Attacked.by(module).check(attacks, elsewhere)
        manifest = evaluation_manifest(self, module, attacks, datamodule, checkpoint=path, seed=seed, gradients_from=elsewhere)
        folder = manifest.folder(self.default_root_dir) if out is None else Path(out)
        picture = folder / "examples.png" if examples else None
        self._say(f"results in {folder}")
        rows = evaluate(
            self,
            module,
            attacks,
            datamodule,
            checkpoint=path,
            seed=seed,
            out=folder,
            picture=picture,
            keep=examples,
            compile=compile,
            gradients_from=elsewhere,
        )
        if rows:  # the first process only
            self._save_configuration(folder)
            print_table(rows)
            if certified is not None:
                certified()
            if isinstance(module, Target) and module.queries:
                print(f"{target} was asked about {module.queries:,} images in this run, and computed {module.computed:,}; the rest it knew")
            for row in rows:
                if row.timing is not None:
                    print(f"{row.attack}: " + ", ".join(f"{name} {value:,.6g}" for name, value in row.timing.items()))
            print(
                f"wrote {folder}: results.csv, results.json, images.csv, adversarial/*.safetensors" + (", examples.png" if picture else "")
            )
        return rows

    def diagnose(
        self,
        model: Classifier,
        datamodule: L.LightningDataModule | None = None,
        ckpt_path: str | None = None,
        images: int = 32,
        sources: str | None = None,
        eps: float = 0.03,
        sizes: Sizes | None = None,
        out: str | None = None,
        seed: int = 0,
    ) -> Any:
        """Look for gradient masking: does the failure of an attack mean robustness?

        Args:
            ckpt_path: the checkpoint of the network to diagnose.
            images: how many images of the test split are used, the first ones.
            sources: checkpoints of other networks, separated by commas (name=path where two have the same name), to see whether attacks on
                them transfer better than direct ones.
            eps: radius of the l-infinity attacks, in pixel units.
            sizes: how much is measured.
            out: folder of diagnostics.json, .csv and .png; null is one below runs/diagnose named by the network and a hash.
            seed: of all random numbers.
        """
        path = _loaded(model, ckpt_path)
        if images < 1:
            raise InputError(f"Expected `images` to be at least 1, but got {images}; 32 are enough to see masking.")
        assert datamodule is not None  # the parser asks for it
        others = {name: load_classifier(other, read_checkpoint(other)) for name, other in _named(sources or "").items()}
        batch = first_images(datamodule, images)
        device = self.strategy.root_device
        model.eval().to(device)
        digest = hashlib.sha256(f"{file_sha256(path)} {describe(datamodule)} {images} {sources} {eps} {sizes} {seed}".encode()).hexdigest()
        folder = Path(self.default_root_dir) / "diagnose" / f"{model.label}-{digest[:8]}" if out is None else Path(out)
        with progress_bar() if self.progress_bar_callback else contextlib.nullcontext() as advance:
            diagnosis = diagnose(
                model,
                batch.images.to(device),
                batch.labels.to(device),
                index=batch.index,
                class_names=getattr(datamodule, "class_names", None),
                sources={name: source.to(device) for name, source in others.items()},
                eps=eps,
                seed=seed,
                sizes=sizes,
                label=model.label,
                on_progress=advance,
            )
        diagnosis.print()
        diagnosis.save(folder)
        self._save_configuration(folder)
        print(f"wrote {folder}: diagnostics.json, diagnostics.csv, diagnostics.png")
        return diagnosis

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
                qlight[interop]); or rtl: a build folder of the streaming accelerator, for a simulator or a synthesis tool; or hls: one of
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
        path = _loaded(model, ckpt_path)
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
        print_layers(lowered.graph, comparison)
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

    def _say(self, text: str) -> None:
        if self.is_global_zero:
            print(text, flush=True)


def _certified(module: nn.Module, count: int, folder: str, seed: int) -> Callable[[], None] | None:
    """Keep `count` random queries of a packed target of a build folder; what replays them on its RTL, or None for a count of 0.

    Raises:
        InputError: the target is no such one, or the RTL cannot be simulated here.
    """
    if count == 0:
        return None
    if count < 0 or not isinstance(module, PackedTarget) or not (Path(folder) / "manifest.json").is_file():
        raise InputError(
            "Expected `certify` to be a number of queries with --target packed:FOLDER, a folder of `export --format rtl`, but got "
            f"{count} with {folder!r}; export one."
        )
    engine, sample = RtlSimEngine(folder), Sample(module.query, count, seed)
    module.query = sample

    def run() -> None:
        equal = replay(sample.query, engine, sample.images)
        print(f"certified: {equal} random queries of {sample.seen:,} give the same integers in the simulated RTL")

    return run


def _loaded(model: Classifier, ckpt_path: str | None) -> Path:
    """Load the checkpoint's weights into `model`; its path."""
    if ckpt_path is None:
        raise InputError("Expected `ckpt_path` to be the checkpoint to attack, but got none; `fit` writes one.")
    path = Path(ckpt_path)
    load_weights(model, path, read_checkpoint(path))
    return path


def _named(sources: str) -> dict[str, Path]:
    """Paths separated by commas, each as `name=path` or alone, where its stem is its name."""
    named: dict[str, Path] = {}
    for source in filter(None, sources.split(",")):
        name, _, path = source.rpartition("=")
        name = name or Path(path).stem
        if name in named:
            raise InputError(f"Expected `sources` with different names, but {name!r} comes twice; write name=path.")
        named[name] = Path(path)
    for path in named.values():
        if not path.is_file():
            raise InputError(f"Expected `sources` to be checkpoints, but there is no file {str(path)!r}; correct the path.")
    return named
