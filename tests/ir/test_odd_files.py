"""IRs that OpenVINO reads but does not write are rewritten right; damaged ones are refused in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import openvino as ov
import pytest

from ovpass.ir.files import open_source
from tests.builders import linear_model
from tests.cli.command import CommandLine
from tests.ir.files import saved

GROUP = ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"]
Edit = Callable[[str], str]


def swapped(text: str) -> str:
    """Edges before layers."""
    layers, edges = (re.search(rf"<{tag}>.*</{tag}>", text, re.DOTALL) for tag in ("layers", "edges"))
    assert layers
    assert edges
    return text.replace(layers[0] + "\n\t" + edges[0], edges[0] + layers[0])


def options_first(text: str) -> str:
    """Runtime options before layers, and others behind edges."""
    first = '<rt_info><runtime_options><DYNAMIC_QUANTIZATION_GROUP_SIZE value="64"/></runtime_options></rt_info>'
    return text.replace("<layers>", f"{first}<layers>")


ODD: dict[str, Edit] = {
    "edges first": swapped,
    "rt_info first": options_first,
    "a space in the closing tag": lambda text: text.replace("</edges>", "</edges >"),
    "a comment with the closing tag": lambda text: text.replace("</edges>", "</edges><!-- </edges> -->"),
    "comments at the start": lambda text: text.replace("<net", "<!-- a --><!-- b --><net", 1),
    "a declaration": lambda text: '<?xml version="1.0"?>' + text.removeprefix('<?xml version="1.0"?>'),
}


def edited(folder: Path, edit: Edit) -> Path:
    xml = saved(linear_model("w_i8_sym_ch", 64, 16), folder)
    text = edit(xml.read_text())
    assert text != xml.read_text() or edit is ODD["a declaration"]
    xml.write_text(text)
    return xml


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_rewritten_right(ovpass: CommandLine, tmp_path: Path, name: str) -> None:
    xml = edited(tmp_path, ODD[name])
    before = ov.Core().read_model(xml)
    ovpass.succeed("apply", xml, "-o", tmp_path / "out.xml", "--group-size", 32)
    after = ov.Core().read_model(tmp_path / "out.xml")
    assert [op.get_friendly_name() for op in after.get_ops()] == [op.get_friendly_name() for op in before.get_ops()]
    assert str(after.get_rt_info(GROUP).astype(str)) == "32"
    ovpass.succeed("strip", tmp_path / "out.xml", "-o", tmp_path / "back.xml")
    back = ov.Core().read_model(tmp_path / "back.xml")
    own = before.has_rt_info(GROUP)
    assert back.has_rt_info(GROUP) == own
    if own:
        assert str(back.get_rt_info(GROUP).astype(str)) == str(before.get_rt_info(GROUP).astype(str)) == "64"


def nested(text: str) -> str:
    return text.replace("</net>", "<rt_info>" + "<a>" * 3000 + "</a>" * 3000 + "</rt_info></net>")


def swap(old: str, new: str) -> Edit:
    return lambda text: text.replace(old, new, 1)


DAMAGED: dict[str, Edit] = {
    "an edge is missing": lambda text: re.sub(r"<edge [^>]*/>", "", text, count=1),
    "an edge from nowhere": lambda text: re.sub(r'from-layer="\d+"', 'from-layer="999"', text, count=1),
    "an edge from a port that is not there": lambda text: re.sub(r'from-port="\d+"', 'from-port="9"', text, count=1),
    "a port in words": lambda text: re.sub(r'to-port="\d+"', 'to-port="x"', text, count=1),
    "Constant": swap('type="Const"', 'type="Constant"'),
    "a shape in floating point": lambda text: re.sub(r'shape="16, ?64"', 'shape="1e9,64"', text),
    "a negative offset": lambda text: re.sub(r'offset="\d+"', 'offset="-1"', text, count=1),
    "an offset beyond the weights": lambda text: re.sub(r'offset="\d+"', 'offset="99999999"', text, count=1),
    "an offset of 5,000 digits": lambda text: re.sub(r'offset="\d+"', f'offset="{"9" * 5000}"', text, count=1),
    "a size that is not the shape's": lambda text: re.sub(r'size="1024"', 'size="1023"', text, count=1),
    "a type without inputs": swap('type="Relu"', 'type="FakeQuantize"'),
    "deep rt_info": nested,
    "no end": lambda text: text[: len(text) // 2],
    "not UTF-8": lambda text: text.replace("<net", '<?xml version="1.0" encoding="utf-7"?><net', 1),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("command", ["inspect", "apply"])
def test_damaged_files_are_refused(ovpass: CommandLine, tmp_path: Path, name: str, command: str) -> None:
    if name == "a type without inputs":
        xml = saved(linear_model("w_i8_sym_ch", 64, 16), tmp_path)
        kind = "Multiply"
        xml.write_text(xml.read_text().replace(f'type="{kind}"', 'type="FakeQuantize"', 1))
    else:
        xml = edited(tmp_path, DAMAGED[name])
    output = ("-o", tmp_path / "out.xml") if command == "apply" else ()
    assert str(xml) in ovpass.refuse(command, xml, *output)
    assert not (tmp_path / "out.xml").exists()


def test_a_cycle_is_refused(ovpass: CommandLine, tmp_path: Path) -> None:
    xml = saved(linear_model("w_i8_sym_ch", 64, 16), tmp_path)
    *_, (layer, port), _ = re.findall(r'<edge from-layer="(\d+)" from-port="(\d+)"', xml.read_text())
    itself = f'from-layer="{layer}" from-port="{port}" to-layer="{layer}" to-port="0"'
    text = re.sub(rf'from-layer="\d+" from-port="\d+" to-layer="{layer}" to-port="0"', itself, xml.read_text())
    xml.write_text(text)
    assert "cycle" in ovpass.refuse("inspect", xml)


def test_pipes_in_a_folder_are_no_models(tmp_path: Path) -> None:
    saved(linear_model("w_i8_sym_ch", 64, 16), tmp_path)
    os.mkfifo(tmp_path / "pipe.xml")
    assert [ir.xml.name for ir in open_source(tmp_path).models] == ["model.xml"]


def test_many_comments_before_the_root_take_no_time(tmp_path: Path) -> None:
    xml = saved(linear_model("w_i8_sym_ch", 64, 16), tmp_path)
    xml.write_text("<!-- a -->" * 60 + xml.read_text().removeprefix('<?xml version="1.0"?>'))
    xml.with_suffix(".bin").rename(tmp_path / "other.bin")
    assert [ir.xml.name for ir in open_source(tmp_path).models] == ["model.xml"]
