#!/usr/bin/env bash
# The main job on a real LLM: inspect SmolLM2-135M, apply three lowerings, generate with each on CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

make_environment genai
model=$(python scripts/get_smollm2.py) || {
  echo "SmolLM2 could not be had; going on with the small model in models/, whose text is noise." >&2
  model=models/tiny-llama-int4
}
ovpass inspect "$model"
python scripts/demo.py "$model"
