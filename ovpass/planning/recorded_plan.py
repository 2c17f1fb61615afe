"""Read the plan that `apply` recorded in a model."""

from __future__ import annotations

from ovpass.errors import ModelError, PlanError
from ovpass.ir.document import IrDocument
from ovpass.ir.metadata import Metadata
from ovpass.ir.note import damaged, read_note
from ovpass.planning.plan import Plan, plan_from_dict

KERNELS = "kernels"
"""The section of the note that says what each op of ours replaced, by the op's name."""


def recorded_plan(metadata: Metadata) -> Plan | None:
    """What was done to the model; None where ovpass has not changed it by a plan.

    Raises:
        ModelError: for a note that is damaged.
    """
    note = read_note(metadata)
    if note is None or "plan" not in note:
        return None
    try:
        return plan_from_dict(note["plan"])
    except PlanError as error:
        raise damaged(metadata, f"holds {error}") from error


def refuse_processed(metadata: Metadata, name: str) -> None:
    """Make sure that ovpass has not changed the model before.

    Raises:
        ModelError: if it has.
    """
    if read_note(metadata) is not None:
        raise ModelError(
            f"{name}: ovpass has changed this model already; "
            "undo that first with 'ovpass strip', or start from the original"
        )


def runs_kernels(document: IrDocument) -> bool:
    """Whether the kernel lowering put ops of ours into the model."""
    return KERNELS in (read_note(document.metadata) or {})


def ops_of(document: IrDocument) -> dict[str, list[str]]:
    """The sites that each op of ours stands for, by the op's name.

    Raises:
        ModelError: for a note that is damaged.
    """
    noted = (read_note(document.metadata) or {}).get(KERNELS, {})
    try:
        return {name: [str(member["site"]) for member in entry["members"]] for name, entry in noted.items()}
    except (KeyError, TypeError) as error:
        raise damaged(document.metadata, f"does not say what its ops replaced: {error}") from error
