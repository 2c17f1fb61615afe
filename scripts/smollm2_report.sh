#!/usr/bin/env bash
# From nothing to a page about SmolLM2-135M: get it, tune a plan for Intel GPUs, apply it, ask the plugin, measure.
#
#   scripts/smollm2_report.sh [OUT]    OUT is the page, smollm2.html if not given; the runs are beside it, in OUT.runs/
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
page=$(realpath -m "${1:-smollm2.html}")
runs="$page.runs"
source "$root/scripts/environment.sh"

cd "$root"
make_environment genai,eval,report
model=$(python scripts/get_smollm2.py)

mkdir -p "$runs"
cd "$runs"
ln -sfn "$model" smollm2-135m
clean=DYNAMIC_QUANTIZATION_GROUP_SIZE=0,INFERENCE_PRECISION_HINT=f32
quantized=DYNAMIC_QUANTIZATION_GROUP_SIZE=32,INFERENCE_PRECISION_HINT=f32

ovpass inspect smollm2-135m --json > inspect.json
ovpass sensitivity smollm2-135m --fast --json > sensitivity.json
ovpass tune smollm2-135m --max-kl 0.02 -o plan.yaml --frontier --json > tune.json
ovpass apply smollm2-135m -o smollm2-tuned --plan plan.yaml --overwrite --json > apply.json
ovpass verify smollm2-tuned --simulate arc-a770 --find-threshold --json > verify.json
ovpass evaluate smollm2-135m smollm2-135m@plan=plan.yaml smollm2-135m@per-token --json > evaluate.json
ovpass bench "smollm2-135m@$clean" "smollm2-135m@$quantized" --prompt-tokens 32,64,128,256,512 --json > bench.json
ovpass report inspect.json sensitivity.json tune.json apply.json verify.json evaluate.json bench.json \
  --note "smollm2-135m is what 'python scripts/get_smollm2.py' makes" -o "$page"
