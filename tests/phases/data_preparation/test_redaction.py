"""What is replaced in comments and strings, and what is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.data_preparation.redaction import redact

AWS = "AKIA" + "Q3EGRIX5Y7ZB2MNA"
JWT = "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3.dozjgNryP4J3jVmNHl0w"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/* Ask ann.lee+c@example.org. */", "/* Ask [e-mail]. */"),
        ('char *s = "bob@lists.example.co.uk";', 'char *s = "[e-mail]";'),
        ("/* Author: Ann Lee */", "/* Author: [name] */"),
        ("/* Author: Ann Lee <ann@example.org> */", "/* Author: [name] <[e-mail]> */"),
        ("/* Authors:\n *  Ann Lee <ann@example.org>\n *  Bob de Vries <bob@example.org> */", "/* Authors:\n *  [name] <[e-mail]>\n *  [name] <[e-mail]> */"),
        ("/* Authors: Ann Lee, Bob de Vries and Carl Moe */", "/* Authors: [name], [name] and [name] */"),
        ("/* Authors: Ann Lee <ann@example.org>,\n *          Bob Ray */", "/* Authors: [name] <[e-mail]>,\n *          [name] */"),
        ("/* Author(s): Ann Lee; Bob Ray (tests) */", "/* Author(s): [name]; [name] (tests) */"),
        ("/*\n * Authors:\n *   Ann Lee\n *   Bob Ray\n *\n * Gate Control\n */", "/*\n * Authors:\n *   [name]\n *   [name]\n *\n * Gate Control\n */"),
        ("// @author Ann Lee", "// @author [name]"),
        ("/* Written by Ann Lee, 2003. */", "/* Written by [name], 2003. */"),
        ("/* Signed-off-by: Ann Lee <ann@example.org> */", "/* Signed-off-by: [name] <[e-mail]> */"),
        ('MODULE_AUTHOR("Ann Lee <ann@example.org>");', 'MODULE_AUTHOR("[name] <[e-mail]>");'),
        (f'char *k = "{AWS}";', 'char *k = "[key]";'),
        (f"// {JWT}", "// [key]"),
        ('password = "hunter2hunter2";', 'password = "[key]";'),
        ('char api_key[] = "s3cr3tValue99";', 'char api_key[] = "[key]";'),
        ('char *auth_token = u8"deadbeefcafe1234";', 'char *auth_token = u8"[key]";'),
        ('"-----BEGIN RSA PRIVATE KEY-----\\n"\n"MIIEpAIBAAKCAQEAx1y2\\n"\n"abcdefghijklmnop0123\\n"\n"-----END RSA PRIVATE KEY-----\\n"',
         '"-----BEGIN RSA PRIVATE KEY-----\\n"\n"[key]\\n"\n"[key]\\n"\n"-----END RSA PRIVATE KEY-----\\n"'),
    ],
)  # fmt: skip
def test_people_and_keys_are_replaced(text: str, expected: str) -> None:
    found, counts = redact(text)
    assert found == expected
    assert sum(counts.values()) == sum(expected.count(mark) for mark in ("[e-mail]", "[name]", "[key]"))


@pytest.mark.parametrize(
    "text",
    [
        "/* @param author.name the author of it */",
        "/** @file gate.c */",
        "/* The author of a frame is its sender. */",
        "/* An author must not do that. */",
        "/* Author:\n * The gate is open. */",
        "int author = maintainer(Gate Open);",
        "x = a@b.c;",
        '/* password: see "README" */',
        'log("enter password for %s");',
        "task-lists_of_masks_and_disks_with_long_names = 1;",
        "Copyright (C) 2011 Ann Lee",
    ],
)
def test_other_text_is_left_alone(text: str) -> None:
    assert redact(text) == (text, {})


@given(st.lists(st.sampled_from(["/*", "*/", "\n", '"', "a@b.org", "Author: ", "Ann Lee ", AWS, " ", "x", "-----BEGIN PRIVATE KEY-----"]), max_size=30).map("".join))  # fmt: skip
def test_lines_stay_and_a_second_time_finds_nothing(text: str) -> None:
    once, counts = redact(text)
    assert once.count("\n") == text.count("\n")
    again, _ = redact(once)
    assert again.count("@") <= once.count("@")
    assert counts or once == text
