"""Tasks that generate, against lm-eval's own backend for Hugging Face models."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

from ovpass.evaluation.candidates import parse_candidate
from ovpass.evaluation.harness import Harness, Tasks, load_tasks, metrics
from ovpass.evaluation.options import HarnessOptions

SCRIPTS = Path(__file__).parents[2] / "scripts"
TASKS = ("ovpass_arithmetic", "ovpass_conversation")
ITEMS = 50


def made(script: str) -> Path:
    done = subprocess.run([sys.executable, str(SCRIPTS / script)], check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


def by_hugging_face(folder: Path, options: HarnessOptions) -> Tasks:
    """Weights rounded to f16, as those of the OpenVINO model, and computed in f32."""
    torch, hf = importlib.import_module("torch"), importlib.import_module("transformers")
    backend = importlib.import_module("lm_eval.models.huggingface").HFLM
    model = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16).float()
    judge = backend(pretrained=model, tokenizer=hf.AutoTokenizer.from_pretrained(folder), batch_size=options.batch)
    evaluate = importlib.import_module("lm_eval.evaluator").evaluate
    found = evaluate(judge, load_tasks(options), limit=options.limit, bootstrap_iters=0, log_samples=False)
    return {task: metrics(values) for task, values in found["results"].items()}


def differences(items: int) -> dict[tuple[str, str], tuple[float, float]]:
    """Each score by OpenVINO GenAI and by Hugging Face."""
    options = HarnessOptions(TASKS, limit=items, batch=10)
    folder = made("get_smollm2_float.py")
    own = Harness(options, folder).run(parse_candidate(str(folder)), []).reference
    theirs = by_hugging_face(made("get_smollm2_hf.py"), options)
    return {
        (task, metric): (score.value, theirs[task][metric].value)
        for task, scores in own.items()
        for metric, score in scores.items()
    }


def test_scores_are_those_of_hugging_face() -> None:
    """Up to one item in 50: sums of another order decide between two tokens that are as likely."""
    found = differences(ITEMS)
    assert len(found) == 4
    assert all(abs(own - theirs) < 1.5 / ITEMS for own, theirs in found.values()), found
