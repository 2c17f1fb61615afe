"""The schema of the measuring commands' JSON: evaluate, sensitivity, tune and bench."""

from __future__ import annotations

from dataclasses import dataclass, field

from ovpass.reporting.schema import Group, PlanRun


@dataclass(frozen=True)
class Divergence:
    """KL divergence in nats per token."""

    mean: float
    median: float
    trimmed: float
    p99: float
    max: float
    mean_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Value:
    """A value and its 95 % interval."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Output:
    """How an output of a model that predicts no tokens differs."""

    name: str
    cosine: Value
    relative_error: Value
    max_difference: float


@dataclass(frozen=True)
class Score:
    """A task's metric."""

    value: float
    stderr: float | None = None


@dataclass(frozen=True)
class AnswerPair:
    """A candidate's answer beside the reference's."""

    prompt: str
    reference: str
    candidate: str
    equal_tokens_percent: float
    first_divergent_token: int | None = None
    similarity: float | None = None


@dataclass(frozen=True)
class Answers:
    """How a candidate's answers to prompts differ from the reference's."""

    prompts: int
    identical: int
    first_divergent_token: float
    equal_tokens_percent: float
    new_tokens: int
    similarity: float | None = None
    worst: tuple[AnswerPair, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """One candidate of an evaluation: of a language model with `kl`, of others with `outputs`."""

    model: str
    runs: str
    perplexity: float | None = None
    perplexity_delta_percent: float | None = None
    perplexity_delta_interval: tuple[float, float] | None = None
    kl: Divergence | None = None
    top1_agreement: float | None = None
    top1_interval: tuple[float, float] | None = None
    windows: int | None = None
    tokens: int | None = None
    outputs: tuple[Output, ...] = ()
    harness: dict[str, dict[str, Score]] = field(default_factory=dict)
    answers: Answers | None = None


@dataclass(frozen=True)
class EvaluateRun:
    """What evaluate prints."""

    reference: str
    reference_runs: str
    candidates: tuple[Candidate, ...]
    reference_perplexity: float | None = None
    reference_harness: dict[str, dict[str, Score]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What quantizing costs: KL in nats per token, top-1 in percent; None where the divergence is an estimate."""

    mean: float
    trimmed: float
    top1_lost: float | None


@dataclass(frozen=True)
class Unit:
    """A site, block, kind or group that was measured alone."""

    name: str
    kind: str | None
    layer: int | None
    sites: tuple[str, ...]
    costs: Cost
    saves: Cost | None
    screened: bool
    group_size: Group | None = None


@dataclass(frozen=True)
class SensitivityRun:
    """What sensitivity prints."""

    by: str
    tokens: int
    together: Cost
    ranking: tuple[Unit, ...]
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Spent:
    """KL in nats per token and the change of perplexity."""

    kl: float
    perplexity_percent: float
    kl_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Point:
    """A plan that tune measured; `share` is that of the work quantized."""

    group_size: Group
    left_out: int
    share: float
    spent: Spent


@dataclass(frozen=True)
class Evidence:
    """What a plan was chosen by."""

    budget: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TunedPlan(PlanRun):
    """The plan that tune chose."""

    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True)
class CacheKind:
    """How keys and values are stored."""

    keys: str
    values: str
    bytes_per_token: float


@dataclass(frozen=True)
class ChosenCache:
    """The KV cache that tune chose, and what a token takes in f16."""

    chosen: CacheKind
    bytes_in_f16: float


@dataclass(frozen=True)
class TuneRun:
    """What tune prints; `leaving` has by group size the sites in the order in which they are left out."""

    plan: TunedPlan
    chosen: Point
    held_out: Spent
    left_out: tuple[str, ...]
    frontier: tuple[Point, ...]
    measured: tuple[Point, ...]
    leaving: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kv_cache: ChosenCache | None = None


@dataclass(frozen=True)
class Series:
    """Samples of a metric and their ratio to the first model's."""

    median: float
    samples: tuple[float, ...]
    ratio: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Measurement:
    """One model at one length of prompt; None where there is no length to choose."""

    subject: int
    prompt_tokens: int | None
    ttft_ms: Series | None = None
    tpot_ms: Series | None = None
    latency_ms: Series | None = None
    inferences_per_second: Series | None = None


@dataclass(frozen=True)
class Subject:
    """A model that was timed."""

    model: str
    properties: dict[str, str]
    environment: dict[str, str]
    effective_properties: dict[str, str]
    thresholds: tuple[int, ...]
    load_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class BenchRun:
    """What bench prints; times in milliseconds."""

    device: str
    device_name: str
    cpus: int
    repeats: int
    subjects: tuple[Subject, ...]
    measurements: tuple[Measurement, ...]
    output_tokens: int | None = None
