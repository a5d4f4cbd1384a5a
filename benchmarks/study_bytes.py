"""Does a study end with the same bytes, however often it is killed, and on dask's workers?

    python benchmarks/study_bytes.py --kills 20 --dask 2

A study runs undisturbed once, in one process. Then it runs in a folder of its own: killed (-9) at a random moment, the same command given
again, until it ends by itself; then the next one begins, until there were as many kills as asked for. Last it runs on workers of dask.
Every file of every task of each of them, the report too, must have the SHA-256 that it has in the undisturbed run. Moments are counted
from when a run begins to compute, so that few of them fall into the import of torch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path

PARSER = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
PARSER.add_argument("--study", default="configs/study/smoke.yaml")
PARSER.add_argument("--kills", type=int, default=20)
PARSER.add_argument("--each", type=int, default=10, help="about how often a study is killed")
PARSER.add_argument("--seed", type=int, default=0, help="of the moments")
PARSER.add_argument("--dask", type=int, default=0, metavar="WORKERS", help="also run on so many workers of dask")
PARSER.add_argument("--folder", type=Path, default=Path("runs/study_bytes"), help="must be new")
PARSER.add_argument("--reference", type=Path, help="the folder of an undisturbed run, if there is one")


def command(study: str, out: Path, *where: str) -> list[str]:
    return [sys.executable, "-m", "qlight", "study", "run", study, "--out", str(out), *(where or ("--workers", "1"))]


def files(out: Path) -> dict[str, str]:
    """SHA-256 by task and file, of what is there, whatever the tasks said of it."""
    found = {}
    for done in sorted(out.glob("tasks/*/done.json")):
        name, result = json.loads(done.read_text())["name"], done.parent / "result"
        for path in sorted(path for path in result.rglob("*") if path.is_file()):
            found[f"{name}: {path.relative_to(result)}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def compare(what: str, out: Path, wanted: dict[str, str]) -> None:
    """Print, and end where a byte differs."""
    found = files(out)
    different = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    report = found.get("report: report.html", "none")
    print(f"{what}: report {report[:16]}, {len(found)} files, {len(different)} different {different[:3]}", flush=True)
    if different:
        raise SystemExit(1)


def wait_for_work(process: subprocess.Popen, out: Path) -> None:
    """Until the process writes something."""
    begun = time.time()
    while process.poll() is None and not any(path.stat().st_mtime > begun for path in out.glob("tasks/*/*")):
        time.sleep(0.1)


def kill_until_done(study: str, out: Path, draw: random.Random, longest: float, kills: int) -> int:
    """Run a study that is killed at most so often; how often it was."""
    done = 0
    while True:
        process = subprocess.Popen(command(study, out), stdout=subprocess.DEVNULL)
        wait_for_work(process, out)
        moment = draw.uniform(0, longest)
        try:
            process.wait(moment if done < kills else None)
        except subprocess.TimeoutExpired:
            process.kill()
            done += 1
            print(f"killed {moment:.1f} s after it went on, {len(list(out.glob('tasks/*/done.json')))} tasks done", flush=True)
        process.wait()
        if process.returncode == 0:
            return done
        if process.returncode > 0:
            raise SystemExit("the study failed")


def main() -> None:
    options = PARSER.parse_args()
    options.folder.mkdir(parents=True)
    reference = options.reference or options.folder / "reference"
    if options.reference is None:
        subprocess.run(command(options.study, reference), check=True, stdout=subprocess.DEVNULL)
    wanted = files(reference)
    seconds = sum(json.loads(path.read_text())["seconds"] for path in reference.glob("tasks/*/done.json"))
    compare(f"undisturbed, {seconds:.0f} s", reference, wanted)
    draw, kills, studies = random.Random(options.seed), 0, 0
    longest = 2 * seconds / (options.each + 1)
    while kills < options.kills:
        studies += 1
        out = options.folder / f"killed-{studies}"
        more = kill_until_done(options.study, out, draw, longest, options.kills - kills)
        kills += more
        longest /= 1 if more else 2  # the machine has become quicker
        compare(f"study {studies}, killed {more} times", out, wanted)
    print(f"{kills} kills of {studies} studies, seed {options.seed}")
    if options.dask:
        from distributed import LocalCluster

        cluster = LocalCluster(n_workers=options.dask, threads_per_worker=1, processes=True, dashboard_address=":0")
        with cluster:
            out = options.folder / "dask"
            subprocess.run(command(options.study, out, "--dask", cluster.scheduler_address), check=True, stdout=subprocess.DEVNULL)
        compare(f"{options.dask} workers of dask", out, wanted)


if __name__ == "__main__":
    main()
