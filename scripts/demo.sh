#!/usr/bin/env bash
# The main job on a real LLM: SmolLM2-135M from its GGUF file to a model that is verified for an Arc B580, and a question.
#
#   scripts/demo.sh [OUT] [OPTIONS...]    OUT is kept; options go to `ovpass optimize`
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

make_environment optimize
require_driver
model=$(python scripts/get_smollm2.py --gguf)
if [ $# -gt 0 ]; then
  out=$1
  shift
else
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  out=$folder/out
fi
ovpass optimize "$model" -o "$out" --target arc-b580 --max-kl 0.02 "$@"
python "$out/generate.py" "What is the capital of France?"
