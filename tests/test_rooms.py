"""A room imports only from rooms below it, and enters another by its face."""

from __future__ import annotations

import pytest

from tests.rooms import BELOW, HOUSES, PAGE, ROOT, floors, imports, modules, page, room, targets

FACED = {
    "amend",
    "exchange",
    "library",
    "view",
    "check",
    "engine",
    "journal",
    "store",
    "drawing",
    "mermaid",
    "faults",
    "speech",
}
"""The rooms of fsm/ that are folders, each with a face; those of phases/ are entered by the names of their modules."""


@pytest.mark.parametrize("house", HOUSES)
def test_every_module_stands_in_a_room(house: str) -> None:
    there = {room(module) for module, _ in modules(house)} - {""}
    assert there == set(floors(house))


@pytest.mark.parametrize("house", HOUSES)
def test_a_room_imports_only_from_rooms_below_it(house: str) -> None:
    floor = floors(house)
    against = [
        f"{path.relative_to(ROOT)}:{line}: {room(module)} is below {target}"
        for module, path in modules(house)
        if room(module)
        for line, named, names in imports(path)
        for target in targets(house, named, names)
        if target != room(module) and floor[target] <= floor[room(module)]
    ]
    assert against == []


def test_of_the_three_packages_each_imports_only_what_is_below_it() -> None:
    against = [
        f"{path.relative_to(ROOT)}:{line}: {named}"
        for package, below in BELOW.items()
        for module, path in modules(package)
        for line, named, _ in imports(path)
        if (top := named.partition(".")[0]) in BELOW and top != package and top not in below
    ]
    assert against == []


def test_what_others_use_of_a_room_goes_through_its_face() -> None:
    against = [
        f"{path.relative_to(ROOT)}:{line}: from {named} import ...; say `from fsm.{room(named)} import`"
        for package in BELOW
        for module, path in modules(package)
        for line, named, _ in imports(path)
        if named.startswith("fsm.") and named.count(".") > 1 and room(named) in FACED
        if not (package == "fsm" and room(module) == room(named))
    ]
    assert against == []


@pytest.mark.parametrize("name", sorted(FACED))
def test_a_face_has_what_it_promises(name: str) -> None:
    face = __import__(f"fsm.{name}", fromlist=["__all__"])
    assert [n for n in face.__all__ if not hasattr(face, n)] == []


def test_the_page_draws_the_rooms_as_they_are() -> None:
    text = PAGE.read_text("utf-8")
    assert page(text) == text, "python -m tests.rooms draws them anew"
