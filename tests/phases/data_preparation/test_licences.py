"""Under which licence code stands, and what a configuration makes of that."""

from __future__ import annotations

import pytest

from phases.data_preparation.licences import UNKNOWN, Licences, declared, is_licence_file, licence, of_trees

GPL_LATER = (
    "/*\n * This program is free software; you can redistribute it and/or modify\n * it under the terms of the GNU General Public"
    " License as published by\n * the Free Software Foundation; either version 2 of the License, or\n * (at your option) any later version.\n */"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("// SPDX-License-Identifier: GPL-2.0-only\n", "GPL-2.0-only"),
        ("/* SPDX-License-Identifier: GPL-2.0+ */\n", "GPL-2.0-or-later"),
        ("/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */", "GPL-2.0-only WITH Linux-syscall-note"),
        ("# SPDX-License-Identifier: (GPL-2.0 OR MIT)", "(GPL-2.0-only OR MIT)"),
        (GPL_LATER, "GPL-2.0-or-later"),
        (GPL_LATER.replace("GNU General", "GNU Lesser General").replace("version 2 ", "version 2.1 "), "LGPL-2.1-or-later"),
        (GPL_LATER.replace("GNU General", "GNU Library General"), "LGPL-2.0-or-later"),
        ("GNU GENERAL PUBLIC LICENSE\n   Version 2, June 1991\n", "GPL-2.0-only"),
        ("/* License: GPLv2 */", "GPL-2.0-only"),
        ("/* Licensed under GPL v2 or later. */", "GPL-2.0-or-later"),
        (
            "/* This software is available to you under a choice of one of two licenses. You may choose to be licensed under the terms\n"
            " * of the GNU General Public License (GPL) Version 2, available from the file COPYING, or the OpenIB.org BSD license below:\n"
            " * Redistribution and use in source and binary forms, with or without */",
            "GPL-2.0-only OR Linux-OpenIB",
        ),
        ("Licensed under the Apache License, Version 2.0 (the \"License\");", "Apache-2.0"),
        ("Permission is hereby granted, free of charge, to any person obtaining\na copy", "MIT"),
        ("Redistribution and use in source and binary forms, with or without", "BSD-2-Clause"),
        ("Redistribution and use in source and binary forms ... Neither the name of X", "BSD-3-Clause"),
        ("/* Opens a gate. */", UNKNOWN),
        ("", UNKNOWN),
    ],
)  # fmt: skip
def test_what_a_text_says(text: str, expected: str) -> None:
    assert declared(text) == expected


@pytest.mark.parametrize(("key", "is_one"), [("a/LICENSE", True), ("COPYING.LIB", True), ("a/licence.txt", True), ("LICENSES.c", False), ("a/copying.c/b.c", False)])  # fmt: skip
def test_licence_files_are_known_by_name(key: str, is_one: bool) -> None:
    assert is_licence_file(key) is is_one


def test_a_header_counts_and_without_one_the_nearest_folder() -> None:
    trees = of_trees({"tsn/COPYING": GPL_LATER, "tsn/lib/LICENSE": "MIT License", "avb/LICENSE": "Ask us."})
    assert trees == {"tsn": "GPL-2.0-or-later", "tsn/lib": "MIT"}
    assert licence("tsn/lib/a/b.c", "", trees) == "MIT"
    assert licence("tsn/src/b.c", "", trees) == "GPL-2.0-or-later"
    assert licence("tsn/lib/b.c", "// SPDX-License-Identifier: ISC", trees) == "ISC"
    assert licence("avb/b.c", "", trees) == UNKNOWN


@pytest.mark.parametrize(
    ("allow", "deny", "expression", "kept"),
    [
        (None, (), "GPL-2.0-only", True),
        (None, (), UNKNOWN, True),
        (None, ("GPL-*",), "GPL-2.0-only", False),
        (None, ("GPL-*",), "LGPL-2.1-only", True),
        (None, ("GPL-*",), "GPL-2.0-only OR MIT", True),
        (None, ("GPL-*",), "GPL-2.0-only AND MIT", False),
        (None, ("GPL-*",), "(GPL-2.0-only WITH Linux-syscall-note) OR MIT", True),
        (("mit", "BSD-*"), (), "MIT", True),
        (("mit", "BSD-*"), (), "BSD-3-Clause AND MIT", True),
        (("mit", "BSD-*"), (), UNKNOWN, False),
        (("mit", "BSD-*"), (), "GPL-2.0-only WITH Linux-syscall-note", False),
        (("*",), ("MIT",), "MIT", False),
        (("GPL-*",), (), "GPL-2.0-only WITH Linux-syscall-note", True),
        (("MIT",), (), "(GPL-2.0-only OR MIT) AND BSD-2-Clause", False),
    ],
)
def test_what_is_allowed_and_denied(
    allow: tuple[str, ...] | None, deny: tuple[str, ...], expression: str, kept: bool
) -> None:
    assert Licences(allow=allow, deny=deny).keeps(expression) is kept
