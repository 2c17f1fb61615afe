"""An evaluation as plain data for JSON."""

from __future__ import annotations

from typing import Any

from ovpass.evaluation.answers import AnswerPair, AnswersSummary
from ovpass.evaluation.harness import Tasks
from ovpass.evaluation.language_model import CandidateResult, TextReport
from ovpass.evaluation.model_outputs import ArraysReport, OutputsResult
from ovpass.evaluation.summary import TextSummary


def report_to_dict(report: TextReport | ArraysReport) -> dict[str, Any]:
    """The report for JSON."""
    if isinstance(report, ArraysReport):
        candidates = [_arrays(judged) for judged in report.candidates]
        return {"reference": report.reference, "reference_runs": report.how, "candidates": candidates}
    plain: dict[str, Any] = {
        "reference": report.reference,
        "reference_runs": report.how,
        "reference_perplexity": report.perplexity,
        "candidates": [_text(judged) for judged in report.candidates],
        "peak_mb": report.peak_megabytes,
    }
    if report.harness is not None:
        plain["reference_harness"] = _tasks(report.harness.reference)
        for candidate, scores in zip(plain["candidates"], report.harness.candidates, strict=True):
            candidate["harness"] = _tasks(scores)
    if report.answers is not None:
        for candidate, summary in zip(plain["candidates"], report.answers.candidates, strict=True):
            candidate["answers"] = {"new_tokens": report.answers.new_tokens, **_answers(summary)}
    return plain


def summary_to_dict(summary: TextSummary) -> dict[str, Any]:
    """A comparison of predictions."""
    return {
        "perplexity": summary.perplexity,
        "perplexity_delta_percent": summary.delta_percent.value,
        "perplexity_delta_interval": summary.delta_percent.to_dict()["interval"],
        "kl": summary.kl.to_dict(),
        "top1_agreement": summary.top1.value,
        "top1_interval": summary.top1.to_dict()["interval"],
        "windows": summary.windows,
        "tokens": summary.tokens,
    }


def _text(judged: CandidateResult) -> dict[str, Any]:
    return {
        "model": judged.model,
        "runs": judged.how,
        "notes": list(judged.notes),
        **summary_to_dict(judged.total),
        "weights": None if judged.weights is None else summary_to_dict(judged.weights),
        "activations": None if judged.activations is None else summary_to_dict(judged.activations),
        "seconds": round(judged.seconds, 3),
    }


def _tasks(tasks: Tasks) -> dict[str, Any]:
    return {
        task: {metric: {"value": score.value, "stderr": score.stderr} for metric, score in scores.items()}
        for task, scores in tasks.items()
    }


def _answers(summary: AnswersSummary) -> dict[str, Any]:
    return {
        "prompts": summary.prompts,
        "identical": summary.identical,
        "first_divergent_token": summary.first_divergent,
        "equal_tokens_percent": summary.equal,
        "similarity": summary.similarity,
        "worst": [_pair(pair) for pair in summary.worst],
    }


def _pair(pair: AnswerPair) -> dict[str, Any]:
    return {
        "prompt": pair.prompt,
        "reference": pair.reference,
        "candidate": pair.candidate,
        "first_divergent_token": pair.first_divergent,
        "equal_tokens_percent": pair.equal,
        "similarity": pair.similarity,
    }


def _arrays(judged: OutputsResult) -> dict[str, Any]:
    outputs = [
        {
            "name": output.name,
            "cosine": output.cosine.to_dict(),
            "relative_error": output.relative_error.to_dict(),
            "max_difference": output.maximum,
        }
        for output in judged.outputs
    ]
    return {
        "model": judged.model,
        "runs": judged.how,
        "notes": list(judged.notes),
        "outputs": outputs,
        "inputs": judged.inputs,
        "seconds": round(judged.seconds, 3),
    }
