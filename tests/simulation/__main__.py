"""Run seeds of the simulation.

python -m tests.simulation --seeds 10000 [--from N] [--jobs 2]
python -m tests.simulation --seed N --trace
"""

import argparse
import multiprocessing
import os
import sys
import time

from tests.simulation.run import Result, simulate


def main() -> int:
    """Run what is asked for; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="The deterministic simulation")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes to use")
    parser.add_argument("--seed", type=int, help="just this one")
    parser.add_argument("--trace", action="store_true", help="tell the story of the seed, line by line")
    asked = parser.parse_args()
    if asked.seed is not None:
        return _one(asked.seed, aloud=asked.trace)
    return _many(range(asked.first, asked.first + asked.seeds), asked.jobs)


def _one(seed: int, *, aloud: bool) -> int:
    result = simulate(seed, print if aloud else None)
    took = f"{result.virtual_s:.0f} s in {result.real_s:.2f} s of a core"
    print(f"seed {seed}: {result.steps} steps, {took}, story {result.digest[:16]}")
    for violation in result.violations:
        print(f"  {violation}")
    return 1 if result.violations else 0


def _many(seeds: range, jobs: int) -> int:
    began = time.monotonic()
    failed: list[int] = []
    done = 0
    worked = 0.0
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for result in pool.imap_unordered(simulate, seeds, chunksize=5):
            done += 1
            worked += result.real_s
            if result.violations:
                failed.append(result.seed)
                _tell(result)
            if done % 100 == 0 or done == len(seeds):
                passed = time.monotonic() - began
                each = worked / done * 1000
                print(f"{done} seeds, {len(failed)} failed, {passed:.0f} s ({each:.0f} ms of a core each)", flush=True)
    for seed in sorted(failed):
        print(f"replay: python -m tests.simulation --seed {seed} --trace")
    return 1 if failed else 0


def _tell(result: Result) -> None:
    print(f"seed {result.seed} fails; replay: python -m tests.simulation --seed {result.seed} --trace")
    for violation in result.violations[:5]:
        print(f"  {violation}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
