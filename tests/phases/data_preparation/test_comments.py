"""What a comment says of a function."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.data_preparation.comments import NOTHING_SAID, header, read_comment, says_more


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("/** @brief Open a gate. More of it. */", "Open a gate."),
        ("/**\n * @file a.c\n * @brief Open\n *        a gate.\n * @param x the gate\n */", "Open a gate."),
        ("/*!\n * \\brief Opens\n *        a gate.\n */", "Opens a gate."),
        ("/// \\brief Open a gate\n/// @return true", "Open a gate"),
        ("// Open a gate: 0.5 s later.", "Open a gate: 0.5 s later."),
        ("/* Open a gate\n *\n * and more */", "Open a gate"),
        ("/* Opens, e.g. when it is closed, a gate. And more. */", "Opens, e.g. when it is closed, a gate."),
        ("/*********\n * Opens a gate\n *********/", "Opens a gate"),
        ("//-----\n// Opens a gate\n//-----", "Opens a gate"),
        ("/**\n * gate_open - Open a gate\n * @gate: which\n */", "Open a gate"),
        ("/**\n * gate_open() - Open a gate\n */", "Open a gate"),
        ("/*\n * gate_open() -- open a gate\n */", "open a gate"),
        ("/**\n * gate_open:\n * @gate: which\n *\n * Opens a gate. More.\n */", "Opens a gate."),
        ("/**\n * gate_open:\n * @gate: which\n *\n * Opens @gate, see #GateState and %GATE_OPEN.\n */", "Opens gate, see GateState and GATE_OPEN."),
        ("/* Function: gate_open\n *\n * Opens a gate.\n */", "Opens a gate."),
        ("/* Returns the sum of two. */", "Returns the sum of two."),
        ("/* Author: Ann Lee */", ""),
        ("/* Author: Ann Lee\n * Opens a gate. */", "Opens a gate."),
        ("/* Open the gate. @return true */", "Open the gate."),
        ("/**/", ""),
        ("/* x = 1; */", ""),
        ("/* if (a) {\n * return 1;\n * } */", ""),
    ],
)  # fmt: skip
def test_the_first_sentence_sums_up(comment: str, expected: str) -> None:
    assert read_comment(comment).summary == expected


def test_kernel_doc_is_read() -> None:
    said = read_comment(
        "/**\n * csum - Compute the checksum.\n * @iph: ipv4 header\n * @ihl: length of header,\n *       by 4\n *\n * Context: any.\n"
        " * Return: the checksum\n * of it\n */"
    )
    assert said.summary == "Compute the checksum."
    assert said.parameters == (("iph", "ipv4 header"), ("ihl", "length of header, by 4"))
    assert said.returns == "the checksum of it"


def test_doxygen_is_read() -> None:
    said = read_comment(
        "/**\n * Opens the gate.\n *\n * @param[in] a the gate\n * @param b\n *\n * @retval 0 it is open\n * @retval -1 it is not\n"
        " * @note Not here.\n */"
    )
    assert said.summary == "Opens the gate."
    assert said.parameters == (("a", "the gate"),)
    assert said.returns == "0 it is open; -1 it is not"


def test_doxygen_in_one_line_is_read() -> None:
    said = read_comment("/** Opens the gate. @param a the gate @return whether it was closed */")
    assert said.summary == "Opens the gate."
    assert said.parameters == (("a", "the gate"),)
    assert said.returns == "whether it was closed"


def test_gtk_doc_is_read() -> None:
    said = read_comment(
        "/**\n * gst_pad_new:\n * @name: (nullable) (transfer none): the name of it.\n *\n * Creates a pad. More.\n *\n"
        " * Returns: (transfer floating): a new #GstPad\n *\n * Since: 1.2\n */"
    )
    assert said.summary == "Creates a pad."
    assert said.parameters == (("name", "the name of it."),)
    assert said.returns == "a new GstPad"


@pytest.mark.parametrize(
    "licence",
    [
        "// SPDX-License-Identifier: MIT",
        "/*\n * Copyright (C) 2020 Somebody\n *\n * This program is free software; you can redistribute it\n */",
        "/* Permission is hereby granted, free of charge, to any person */",
    ],
)
def test_a_licence_says_nothing_of_a_function(licence: str) -> None:
    assert read_comment(licence) == NOTHING_SAID


@pytest.mark.parametrize(
    ("summary", "name", "more"),
    [
        ("Gate open", "gate_open", False),
        ("Open the gate.", "gateOpen", False),
        ("Open the gate for frames.", "gate_open", True),
        ("", "gate_open", False),
    ],
)
def test_a_summary_says_more_than_the_name_or_does_not(summary: str, name: str, more: bool) -> None:
    assert says_more(summary, name) is more


def test_a_header_is_the_comments_that_a_file_begins_with() -> None:
    text = "// SPDX-License-Identifier: MIT\n/* Copyright */\n\n// More.\n#include <a.h>\n/* Not of it. */\n"
    assert header(text) == "// SPDX-License-Identifier: MIT\n/* Copyright */\n\n// More."
    assert header("int a;") == ""


@given(st.text(alphabet=st.sampled_from("/*!<@\\: -\n\tab#%.()é"), max_size=120))
def test_any_comment_can_be_read(text: str) -> None:
    said = read_comment(f"/*{text}*/")
    assert said.summary == said.summary.strip()
    assert "\n" not in said.summary
