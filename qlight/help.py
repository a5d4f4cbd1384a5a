"""What `python -m qlight` says of itself: its verbs and the short help of each. Nothing heavy is imported for it."""

from __future__ import annotations

from qlight import __version__

VERBS = {
    "fit": "train a network",
    "validate": "loss and accuracy on the validation split",
    "test": "loss and accuracy on the test split",
    "predict": "write logits and predicted classes of the test split",
    "attack": "craft adversarial examples and report adversarial accuracy and distortion",
    "curves": "draw accuracy against queries, against eps and by class, of folders that attack left",
    "diagnose": "look for gradient masking: does an attack's failure mean robustness?",
    "transfer": "craft adversarial examples on some networks and judge them on others",
    "ensemble": "measure a defence that answers only where networks agree, also against an attacker who knows it",
    "gradients": "compare the input gradients of several networks",
    "spread": "measure the variance of logits, and what finite differences of them are worth",
    "shift": "measure how much of a perturbation quantization levels out, layer by layer",
    "export": "lower a checkpoint to an integer graph and compare it with torch",
    "board": "serve an accelerator to attacks, emulate one, ask one how it is",
    "import": "make an integer graph of a QONNX file, such as Brevitas writes",
    "bitstream": "list, check or build the bitstreams of overlays for boards",
    "hardware": "plan an accelerator for a board, synthesize parts of it with Yosys, or read Vivado's reports",
    "zoo": "list the trained networks that come with qlight",
    "study": "measure a whole paper by one resumable plan, and report it",
    "quickstart": "train a float and a binary network on embedded data, attack both (a few minutes on a CPU)",
}

HELP = f"""usage: python -m qlight VERB [options]

qlight {__version__}: train low-bit-width neural networks, attack them, put them on an FPGA.

verbs:
{chr(10).join(f"  {verb:<11} {text}" for verb, text in VERBS.items())}

options:
  -h, --help  this text; after a verb: what the verb takes
  --version   print the version

example:
  python -m qlight fit --config configs/model/w1a1.yaml --data SyntheticDigits --model.width 0.125 --trainer.max_epochs 3
  python -m qlight attack --config configs/attack/fgsm_bim.yaml --data SyntheticDigits --ckpt_path runs/fit/version_0/checkpoints/last.ckpt
"""

_COMMON = """
common options:
  --config FILE                YAML with any of the options below; give it several times to compose files (later ones win)
  --data NAME                  SyntheticDigits, CIFAR10, SVHN, Arrays; or class_path of any LightningDataModule
  --data.batch_size N          global batch size; also --data.limit N (test images), --data.path FILE (Arrays), --data.root DIR
  --model.network NAME         cifar10 or svhn; --model.width 0.125 to 1
  --model.weight_bit_width N   1 to 8 or 32; --model.activation_bit_width N likewise
  --trainer.OPTION VALUE       any option of lightning's Trainer: max_epochs, accelerator, devices, strategy, precision, ...
  --seed_everything N          seed of weights, data order and augmentation (default 0)
  --print_config               print the resulting configuration and stop
  --help-all                   every option of the verb with its default
"""

_CHECKPOINT = "  --ckpt_path FILE             the checkpoint; it also says which network it holds; or zoo:NAME (see `python -m qlight zoo`)"
VERB_HELP = {
    "fit": """  --ckpt_path FILE             resume this run
  --model.learning_rate X      Adam's step size; --model.decay_rate, --model.decay_epochs: the staircase""",
    "validate": _CHECKPOINT,
    "test": _CHECKPOINT,
    "predict": f"""{_CHECKPOINT}
  --out DIR                    where predictions.npz goes (default: the run's folder)""",
    "attack": f"""{_CHECKPOINT}
  --target TARGET              what is attacked: torch, the network of --ckpt_path (default); torch:CKPT; packed:FOLDER, the graph that
                               `export` wrote, on the packed CPU engine: 8-bit pixels as deployed, no gradients, no --ckpt_path;
                               rtlsim:FOLDER, what `export --format rtl` wrote, in simulation; csim:FOLDER, of `--format hls`;
                               or board://HOST:PORT, a board by its server (`python -m qlight board`; docs/board.md)
  --certify N                  replay N random queries of packed:FOLDER (a folder of --format rtl) on the simulated RTL: equal integers
  --gradients_from CKPT        let attacks that need gradients craft on this network, and judge them on a target that has none
  --attacks SUITE              names (FGSM,BIM), a YAML file, or {{label: {{class_path: ..., init_args: ...}}}}
  --out DIR                    where results go: results.csv and .json (a row an attack), images.csv (a line an image), adversarial/
                               (default: runs/attack/NETWORK-HASH); the same command goes on where an interrupted one was
  --examples N                 images in examples.png (default 8)
  --compile true               run the network through torch.compile

example of a deployed network:
  python -m qlight export --data CIFAR10 --ckpt_path best.ckpt --out graph
  python -m qlight attack --data CIFAR10 --data.limit 100 --target packed:graph --attacks SPSA,ZOO,Square
  python -m qlight attack --data CIFAR10 --data.limit 100 --target packed:graph --attacks FGSM,PGD --gradients_from best.ckpt""",
    "export": f"""{_CHECKPOINT}
  --out DIR                    folder of graph.json and tensors.safetensors (default: runs/export/NETWORK-HASH)
  --format FORMAT              graph (default); qonnx or onnx, for other tools; rtl, a build folder of the streaming accelerator; or
                               hls, its twin in C++ for Vitis HLS. In the checkout, `pip install -e '.[interop]'` brings what qonnx
                               and onnx need, '.[rtl]' what simulating rtl does, '.[hls]' what C-simulation does; both also need g++
  --thresholds affine          move thresholds of 5 bits and more that float32 put an accumulator beside an affine function onto it:
                               accelerators then need two numbers a channel (default exact: torch's, to the last integer)
  --target_cycles N            of rtl, hls: the most cycles an image may take; --folding '{{conv1: [4, 3], ...}}': PE, SIMD of every layer,
                               or a file of `hardware plan --out`
  --board NAME                 of rtl, hls: a board of hw/boards, or a .toml file; adds scripts of Vivado that make its bitstream (vivado/)
  --boundary_bit_width N       weights of the first and the last layer (default 8)
  --images N                   test images on which codes, predictions and accuracy are compared (default 1000)""",
    "diagnose": f"""{_CHECKPOINT}
  --images N                   test images that the diagnostics use (default 32)
  --sources FILES              checkpoints of other networks, separated by commas: does an attack on them transfer better?
  --out DIR                    where diagnostics.json, .csv and .png go (default: runs/diagnose/NETWORK-HASH)""",
}

_NETWORKS = """  --networks NETWORKS          checkpoints separated by commas (name=FILE where two have the same bit widths)"""
_SOURCES = """  --sources NETWORKS           where to craft: checkpoints separated by commas (name=FILE where two have the same bit widths)
  --targets NETWORKS           {targets}
  --attacks SUITE              names (FGSM,BIM), a YAML file, or {{label: {{class_path: ..., init_args: ...}}}}"""
_REUSE = """  --reuse DIRS                 more results of `attack`, beside runs/attack, whose examples are used where they are the same"""
_RESUME = f"{'':31}the same command goes on where an interrupted one was"
VERB_HELP |= {
    "transfer": f"""{_SOURCES.format(targets="where to judge: checkpoints, packed:FOLDER or rtlsim:FOLDER (default: the sources)")}
  --kappas '[5, 10]'           kappas of Carlini-Wagner attacks, of which the best is reported (default: 5, 10, 15, 20, 25; []: their own)
{_REUSE}
  --out DIR                    where transfer.csv, .json, .md and .png go (default: runs/transfer/HASH);
{_RESUME}

example:
  python -m qlight transfer --data CIFAR10 --data.limit 100 --sources float.ckpt,w1a1.ckpt --attacks configs/attack/fgsm_bim.yaml""",
    "ensemble": f"""{_NETWORKS};
                               packed:FOLDER and rtlsim:FOLDER too, where all attacks only query
  --m N                        how many must agree (default: all but one)
  --attacks SUITE              on each network alone, as of `attack`
  --adaptive SUITE             on the ensemble itself (default: AdaptivePGD, or AdaptiveSPSA where a network has no gradient)
  --kappas '[5, 10]'           as of `transfer`
{_REUSE}
  --out DIR                    where ensemble.csv, .json, .png and agreement.csv go (default: runs/ensemble/HASH);
{_RESUME}""",
    "gradients": f"""{_NETWORKS}
  --images N                   test images (default 1000)
  --out DIR                    where gradients.csv, .json and .png go (default: runs/gradients/HASH)""",
    "spread": f"""{_NETWORKS};
                               packed:FOLDER and rtlsim:FOLDER too; the first is what the others are compared with
  --images N                   test images for the logits (default 1000); --difference_images N for the differences (default 16)
  --steps '[0.0001, 0.01]'     half-widths of the differences, in pixel units
  --out DIR                    where logits.csv, differences.csv, spread.json and .png go (default: runs/spread/HASH)""",
    "shift": f"""{_SOURCES.format(targets="networks to look into beside the source: checkpoints (default: the sources)")}
{_REUSE}
  --out DIR                    where shift.csv, .json and .png go (default: runs/shift/HASH);
{_RESUME}""",
}

QUICKSTART_HELP = """usage: python -m qlight quickstart [--out DIR]

Train a float and a w1a1 network at reduced width on SyntheticDigits, attack both with FGSM and BIM,
print one table and write results.csv, results.json and a picture of clean and adversarial images.

options:
  --out DIR   where everything goes (default: runs/quickstart)
"""

IMPORT_HELP = """usage: python -m qlight import --qonnx FILE --out DIR [options]

Make an integer graph of a sequential network in QONNX, such as Brevitas' export_qonnx writes; needs
`pip install -e '.[interop]'` in the checkout.
Then: python -m qlight attack --target packed:DIR --data CIFAR10 --attacks SPSA,Square

options:
  --qonnx FILE                 the file; it need not be trusted
  --out DIR                    where graph.json and tensors.safetensors go
  --input_scale X              what a step of a pixel 0 .. 255 is worth to the network (default: 1 where the file says UINT8, else 1/255)
  --real_weight_bit_width N    round weights that the file has as real numbers to N bits (default: refuse them)
"""


ZOO_HELP = """usage: python -m qlight zoo [NAME]

List the trained networks that come with qlight: accuracy, precision, size; or all that is known of one, with its training configuration.
Any option that takes a checkpoint takes zoo:NAME: python -m qlight attack --ckpt_path zoo:cifar10-w2a2-x0.25 --data CIFAR10 --attacks PGD
"""

HARDWARE_HELP = """usage: python -m qlight hardware plan --graph FOLDER --board BOARD [--fps N] [--out FILE]
       python -m qlight hardware synth --graph FOLDER --board BOARD [--unit NAME] [--plan FILE | --folding JSON] [--seconds N]
       python -m qlight hardware report --build FOLDER

plan: the fastest design of an integer graph within a board's budget, or the smallest that reaches a frame rate, or why there is none.
synth: Yosys on a unit or a whole small network, beside the prediction of the resource model and the board's budget (pip install pyosys).
report: what Vivado's reports say of a build that vivado/build.tcl implemented, also into its manifest: resources, timing, clock.

options:
  --graph FOLDER     what `python -m qlight export` wrote
  --board BOARD      pynq_z2, aup_zu3, kv260, zcu104; or a .toml file like those of hw/boards
  --fps N            plan: images a second to reach with the smallest design; without it, as many as can be
  --out FILE         plan: write it as JSON, which `export --folding FILE` takes: PE, SIMD, weights, multiply, memory of each layer;
                     with "memory": "ultra", load parameters.bin before the first image (`qlight.board serve` and rtlsim do)
  --unit NAME        synth: one unit, such as conv1 or conv1_swg; without it, the whole network, which can take hours
  --plan FILE        synth: the folding of a plan; or --folding '{"conv1": [4, 3], ...}' as JSON; without both, a modest one
  --build FOLDER     report: what `export --format rtl --board BOARD` wrote
  --seconds N        synth: the most that Yosys may take (default 3600)
"""

BITSTREAM_HELP = """usage: python -m qlight bitstream list [--folder DIR]
       python -m qlight bitstream verify [--folder DIR] [--name NAME]
       python -m qlight bitstream build --build FOLDER --name NAME --network TEXT [--flow FLOW] [--folder DIR]

list: the overlays of a registry, and whether each was built or loaded on a board.
verify: manifests, checksums, the .bit files themselves (header, part, IDCODE, frames, packets, checksums) and the .hwh's address map.
build: run Vivado, or Yosys, nextpnr and Project X-Ray's tools, which must be on PATH, on a build folder for a board; what they made is
checked and put into the registry.

options:
  --folder DIR       the registry (default: bitstreams)
  --name NAME        of an overlay in it
  --build FOLDER     build: what `python -m qlight export --format rtl --board BOARD` wrote
  --network TEXT     build: what the overlay runs, in words
  --flow FLOW        build: vivado (default), or openxc7 (Zynq-7000, no vendor tool)
  --prjxray_db DIR   openxc7: Project X-Ray's database, the folder that holds zynq7 (default: PRJXRAY_DB_DIR)
  --chipdb FILE      openxc7: nextpnr's chip database (default: QLIGHT_CHIPDB, or the one that is built in)
"""

CURVES_HELP = """usage: python -m qlight curves FOLDER [FOLDER ...] [--out FILE]

Draw what attacks of one network cost and where they succeed: accuracy against queries, against eps, and by class. Each FOLDER is one
that `python -m qlight attack` left; beside its examples.png.

options:
  --out FILE   the picture, a .png (default: curves.png in the first folder)
"""

STUDY_HELP = """usage: python -m qlight study ACTION FILE [options]

actions:
  run       run what of a study is not done yet, a task after another as soon as what it needs is there, then report
  status    say what is done, what it took, and about what the rest will take
  report    write the report of what is done so far; it names what is missing
  export    put the numbers of tasks that are done, without images, into one small file
  import    take them from such a file: another machine goes on from there

FILE is one of configs/study/ or your own. An interrupted study goes on when the same command is given again, and ends with the same report.

options:
  --out DIR                    where results are kept, each under a hash of all that it depends on (default: runs/study/NAME)
  --dry-run                    of run: print the plan with rough costs, and stop
  --only NAMES                 tasks whose names begin so, separated by commas (network, attack/torch/paper/FGSM, ...), and all they need
  --workers N                  local processes (default: half of the cores); 1: this process
  --threads N                  threads of each (default 1)
  --dask ADDRESS               run on the workers of a dask scheduler that see the same folder (`pip install -e '.[study]'` in the checkout)
  --archive FILE               of export and import
  --verdicts FILE              of report: also write the claims of the paper, ours against the paper's, as a Markdown page
  --page FILE.md               of report: also write the results as a Markdown page, with its pictures in a folder of that name without .md
"""

#: help of the verbs that are not LightningCLI's
OWN_HELP = {
    "bitstream": BITSTREAM_HELP,
    "curves": CURVES_HELP,
    "hardware": HARDWARE_HELP,
    "import": IMPORT_HELP,
    "quickstart": QUICKSTART_HELP,
    "study": STUDY_HELP,
    "zoo": ZOO_HELP,
}


def verb_help(verb: str) -> str:
    """The short help of a verb: what it does and its main options."""
    if verb in OWN_HELP:
        return OWN_HELP[verb]
    text = VERBS[verb][0].upper() + VERBS[verb][1:]
    text = text if text.endswith("?") else f"{text}."
    return f"usage: python -m qlight {verb} [options]\n\n{text}\n\noptions:\n{VERB_HELP[verb]}\n{_COMMON}"
