"""Find the sites of an IR file from its text, without OpenVINO and without weights."""

from __future__ import annotations

from ovpass.ir.document import IrDocument
from ovpass.ir.files import IrFile
from ovpass.sites.find import CompressedMatMul, find_sites


def find_sites_in_file(ir: IrFile, document: IrDocument | None = None) -> list[CompressedMatMul]:
    """The sites of an IR, or of its `document` if it is read already.

    Raises:
        ModelError: if the IR cannot be read or is damaged.
    """
    graph = (document or ir.document()).graph
    with ir.complete():
        return find_sites(graph)
