"""IRs that OpenVINO reads but does not write are rewritten right; damaged ones are refused in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import openvino as ov
import pytest

from ovpass.errors import ModelError
from ovpass.ir.files import IrFile, open_source
from ovpass.ir.validation import ELEMENT_TYPES
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


NAMED = "größer"
ENCODINGS = {
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-32": "UTF-32",
    "utf-8-sig": "UTF-8",
    "latin-1": "ISO-8859-1",
    "utf-8": "windows-1252",  # OpenVINO takes no notice
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("settings", [("--group-size", 32), ("--lowering", "emulate")])
def test_encodings_are_those_of_openvino(
    ovpass: CommandLine, tmp_path: Path, encoding: str, settings: tuple[object, ...]
) -> None:
    xml = saved(linear_model("w_i8_sym_ch", 64, 16), tmp_path)
    declared = f'<?xml version="1.0" encoding="{ENCODINGS[encoding]}"?>'
    text = xml.read_text().replace('<?xml version="1.0"?>', declared).replace('name="linear"', f'name="{NAMED}"')
    xml.write_bytes(text.encode(encoding))
    before = names(xml)
    assert NAMED in before
    assert [site["name"] for site in ovpass.succeed("inspect", xml, "--json").json["sites"]] == [NAMED]
    ovpass.succeed("apply", xml, "-o", tmp_path / "out.xml", *settings)
    assert NAMED in names(tmp_path / "out.xml")
    ovpass.succeed("strip", tmp_path / "out.xml", "-o", tmp_path / "back.xml")
    assert names(tmp_path / "back.xml") == before


def names(xml: Path) -> list[str]:
    return [op.get_friendly_name() for op in ov.Core().read_model(xml).get_ordered_ops()]


def info(*sections: str) -> str:
    return f"<rt_info>{''.join(f'<runtime_options>{section}</runtime_options>' for section in sections)}</rt_info>"


def size(value: int) -> str:
    return f'<DYNAMIC_QUANTIZATION_GROUP_SIZE value="{value}"/>'


REPEATED = {
    "entries": info(size(16) + size(64)),
    "sections": info(size(16), size(64)),
    "sections, the last without it": info(size(64), '<OTHER value="1"/>'),
    "sections, the last empty": info(size(64), ""),
    "rt_info": info(size(64)) + info(size(16)),
    "rt_info, the first without it": info() + info(size(64)),
    "no value": info("<DYNAMIC_QUANTIZATION_GROUP_SIZE/>"),
}


@pytest.mark.parametrize("name", REPEATED)
def test_repeated_runtime_options_count_as_openvino_counts_them(ovpass: CommandLine, tmp_path: Path, name: str) -> None:
    xml = saved(linear_model("w_i8_sym_ch", 64, 16), tmp_path)
    graph = xml.read_text().partition("</edges>")[0]
    xml.write_text(f"{graph}</edges>{REPEATED[name]}</net>")
    before = group_size(xml)
    assert open_source(xml).models[0].document().metadata.get(*GROUP) == before
    ovpass.succeed("apply", xml, "-o", tmp_path / "out.xml", "--group-size", 32)
    assert group_size(tmp_path / "out.xml") == "32"
    ovpass.succeed("strip", tmp_path / "out.xml", "-o", tmp_path / "back.xml")
    assert group_size(tmp_path / "back.xml") == before


def group_size(xml: Path) -> str | None:
    model = ov.Core().read_model(xml)
    return str(model.get_rt_info(GROUP).astype(str)) if model.has_rt_info(GROUP) else None


def test_elements_too_deep_to_be_copied_are_refused(ovpass: CommandLine, tmp_path: Path) -> None:
    xml = saved(linear_model("w_i8_sym_ch", 64, 16), tmp_path)
    deep = "<a>" * 3000 + "</a>" * 3000
    xml.write_text(swapped(re.sub(r"(<edge [^>]*)/>", rf"\1>{deep}</edge>", xml.read_text(), count=1)))
    assert str(xml) in ovpass.refuse("apply", xml, "-o", tmp_path / "out.xml", "--group-size", 32)
    assert not (tmp_path / "out.xml").exists()


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
    "a size in other digits": lambda text: re.sub(r'size="1024"', 'size="\u0661\u0660\u0662\u0664"', text, count=1),
    "a port in other digits": lambda text: re.sub(r'from-port="0"', 'from-port="\u0660"', text, count=1),
    "a port with a sign": lambda text: re.sub(r'from-port="0"', 'from-port="+0"', text, count=1),
    "ports from 1": lambda text: re.sub(r'<port id="(\d)"', lambda port: f'<port id="{int(port[1]) + 1}"', text),
    "one id twice": lambda text: re.sub(r'<layer id="1"', '<layer id="0"', text, count=1),
    "negative ids": lambda text: re.sub(r'(layer(?: id)?=")(\d)', r"\1-\2", text),
    "a dimension in floating point": swap("<dim>64</dim>", "<dim>1e9</dim>"),
    "a dimension of 5,000 digits": swap("<dim>64</dim>", f"<dim>{'9' * 5000}</dim>"),
    "an empty dimension": swap("<dim>64</dim>", "<dim></dim>"),
    "a negative dimension": swap("<dim>64</dim>", "<dim>-7</dim>"),
    "an output that is not the constant's": swap("<dim>16</dim>", "<dim>17</dim>"),
    "an element type that is none": swap('element_type="i8"', 'element_type="x"'),
    "an element type in capitals": swap('element_type="i8"', 'element_type="I8"'),
    "an output of no element type": swap('precision="FP32"', 'precision="X"'),
    "an output without an element type": swap(' precision="FP32"', ""),
    "another version": swap('version="11"', 'version="99"'),
    "no version": swap(' version="11"', ""),
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


def test_missing_weights_are_told_whoever_reads_first(tmp_path: Path) -> None:
    """OpenVINO reads the model before its text is looked at, in evaluate for one."""
    xml = saved(linear_model("w_i8_sym_ch", 64, 16), tmp_path)
    os.truncate(xml.with_suffix(".bin"), 100)
    with pytest.raises(ModelError, match="truncated: it needs"):
        IrFile(xml).read()


def test_weights_are_no_model_and_their_model_is_named(ovpass: CommandLine, tmp_path: Path) -> None:
    xml = saved(linear_model("w_i8_sym_ch", 64, 16), tmp_path)
    assert f"name {xml}" in ovpass.refuse("inspect", xml.with_suffix(".bin"))


def test_element_types_are_those_of_openvino() -> None:
    types = {value.get_type_name() for value in vars(ov.Type).values() if isinstance(value, ov.Type)}
    assert types - {"dynamic", "undefined"} <= ELEMENT_TYPES


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


def test_a_pipe_is_no_model(ovpass: CommandLine, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.xml")
    assert "neither a file nor a folder" in ovpass.refuse("inspect", tmp_path / "pipe.xml")


def test_many_comments_before_the_root_take_no_time(tmp_path: Path) -> None:
    xml = saved(linear_model("w_i8_sym_ch", 64, 16), tmp_path)
    xml.write_text("<!-- a -->" * 60 + xml.read_text().removeprefix('<?xml version="1.0"?>'))
    xml.with_suffix(".bin").rename(tmp_path / "other.bin")
    assert [ir.xml.name for ir in open_source(tmp_path).models] == ["model.xml"]


def test_an_inserted_quantizer_without_its_activation_is_refused(ovpass: CommandLine, tmp_path: Path) -> None:
    xml = saved(linear_model("w_i8_sym_ch", 64, 16), tmp_path)
    emulated = tmp_path / "emulated.xml"
    ovpass.succeed("apply", xml, "-o", emulated, "--lowering", "emulate", "--group-size", 32)
    emulated.write_text(emulated.read_text().replace('name="x"', 'name="linear/ovpass.x"', 1))
    assert str(emulated) in ovpass.refuse("strip", emulated, "-o", tmp_path / "out.xml")
    assert not (tmp_path / "out.xml").exists()
