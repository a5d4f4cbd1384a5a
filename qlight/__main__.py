"""``python -m qlight <verb>``: help and error messages; the verbs themselves are in ``qlight.cli``, imported only when one runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from qlight import __version__
from qlight.errors import HardwareError, InputError, nearest

VERBS = {
    "fit": "train a network",
    "validate": "loss and accuracy on the validation split",
    "test": "loss and accuracy on the test split",
    "predict": "write logits and predicted classes of the test split",
    "attack": "craft adversarial examples and report adversarial accuracy and distortion",
    "diagnose": "look for gradient masking: does an attack's failure mean robustness?",
    "export": "lower a checkpoint to an integer graph and compare it with torch",
    "import": "make an integer graph of a QONNX file, such as Brevitas writes",
    "zoo": "list the trained networks that come with qlight",
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

_CHECKPOINT = """  --ckpt_path FILE             the checkpoint; it also says which network it holds; or zoo:NAME (see `python -m qlight zoo`)"""
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
                               or rtlsim:FOLDER, what `export --format rtl` wrote, in simulation
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
  --format FORMAT              graph (default); qonnx or onnx, for other tools (needs pip install 'qlight[interop]'); or rtl, a build
                               folder of the streaming accelerator (its simulation needs pip install 'qlight[rtl]' and g++)
  --target_cycles N            of rtl: the most cycles an image may take; --folding '{{conv1: [4, 3], ...}}': PE and SIMD of every layer
  --boundary_bit_width N       weights of the first and the last layer (default 8)
  --images N                   test images on which codes, predictions and accuracy are compared (default 1000)""",
    "diagnose": f"""{_CHECKPOINT}
  --images N                   test images that the diagnostics use (default 32)
  --sources FILES              checkpoints of other networks, separated by commas: does an attack on them transfer better?
  --out DIR                    where diagnostics.json, .csv and .png go (default: runs/diagnose/NETWORK-HASH)""",
}

QUICKSTART_HELP = """usage: python -m qlight quickstart [--out DIR]

Train a float and a w1a1 network at reduced width on SyntheticDigits, attack both with FGSM and BIM,
print one table and write results.csv, results.json and a picture of clean and adversarial images.

options:
  --out DIR   where everything goes (default: runs/quickstart)
"""

IMPORT_HELP = """usage: python -m qlight import --qonnx FILE --out DIR [options]

Make an integer graph of a sequential network in QONNX, such as Brevitas' export_qonnx writes; needs pip install 'qlight[interop]'.
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

#: help of the verbs that are not LightningCLI's
OWN_HELP = {"import": IMPORT_HELP, "quickstart": QUICKSTART_HELP, "zoo": ZOO_HELP}


def verb_help(verb: str) -> str:
    """The short help of a verb: what it does and its main options."""
    if verb in OWN_HELP:
        return OWN_HELP[verb]
    text = VERBS[verb][0].upper() + VERBS[verb][1:]
    text = text if text.endswith("?") else f"{text}."
    return f"usage: python -m qlight {verb} [options]\n\n{text}\n\noptions:\n{VERB_HELP[verb]}\n{_COMMON}"


def _fail(message: str, verb: str = "", status: int = 2) -> int:
    print(f"qlight{' ' + verb if verb else ''}: error: {' '.join(message.split())}", file=sys.stderr)
    return status


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: what follows ``python -m qlight``; None takes it from ``sys.argv``.

    Returns:
        The exit status: 0, or 2 after one line on stderr that says what was wrong with the input.
    """
    given = list(sys.argv[1:] if args is None else args)
    if not given or given[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    verb = given[0]
    if verb == "--version":
        print(f"qlight {__version__}")
        return 0
    if verb not in VERBS:
        close = nearest(verb, VERBS)
        return _fail(f"Expected a verb ({', '.join(VERBS)}), but got {verb!r}; " + (f"did you mean {close}?" if close else "see --help."))
    if "-h" in given or "--help" in given:
        print(verb_help(verb))
        return 0
    try:
        if verb == "quickstart":
            from qlight.quickstart import main as quickstart

            quickstart(given[1:])
        elif verb == "import":
            from qlight.importing import main as import_

            import_(given[1:])
        elif verb == "zoo":
            from qlight.zoo.listing import main as list_zoo

            list_zoo(given[1:])
        else:
            from qlight.cli import run

            run(given)
    except InputError as error:
        return _fail(str(error), verb)
    except HardwareError as error:
        return _fail(str(error), verb, status=1)
    except KeyboardInterrupt:
        print(f"\nqlight {verb}: interrupted", file=sys.stderr)
        return 130
    return 0


def entry() -> None:
    """The console script."""
    try:
        status = main()
    except BrokenPipeError:  # the reader of our output, such as `head`, has left
        sys.stderr.close()
        status = 0
    sys.exit(status)


if __name__ == "__main__":
    entry()
