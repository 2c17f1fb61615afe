#!/usr/bin/env python3
"""Edit files at random and run the commands that read them.

    python scripts/fuzz.py --seed 1 --cases 10000 [--kind ir,plan,settings,run,config,gguf,onnx,npz,log] [--keep FOLDER]

A case fails if a command ends by a traceback, takes more than 10 s of processor time, changes an input, leaves output
behind after an error, or writes a model that OpenVINO cannot read though it reads the input. Files of failures are
kept. Exit code 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.fuzzing.campaign import Campaign
from tests.fuzzing.kinds import KINDS

MEMORY = 16 << 30
"""Bytes of addresses: a size that a damaged file tells must not take the machine's memory."""


def main() -> None:
    """Run the cases and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--kind", default=",".join(KINDS), help="kinds of file, with commas between")
    parser.add_argument("--keep", type=Path, help="a new folder for the files of failures")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kinds = options.kind.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"unknown kinds {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    folder = options.keep or Path(tempfile.mkdtemp(prefix="ovpass-fuzz-"))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    console = Console(stderr=True)
    with console.status("starting") as status:
        found = list(Campaign(folder, options.seed, kinds, status.update).run(options.cases))
    if options.json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            print(f"{finding.kind}-{finding.number}: {finding.command}\n    {finding.problem.strip()}\n")
        counts = Counter(finding.kind for finding in found)
        print(f"{options.cases} cases, {len(found)} findings {dict(counts) or ''}; files in {folder}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
