"""Edits: each does what it says, and nothing else in the file moves."""

from __future__ import annotations

from textwrap import dedent

import pytest

from dlcheck.facts.model import At
from dlcheck.lint.edit import apply_fixes
from dlcheck.lint.fix import AddImport, Defer, Edit, Enclose, Fix, Guard, Insert, InsertInBody, Move, Replace


def _edited(source: str, *edits: Edit) -> str:
    changed, done = apply_fixes(dedent(source).encode(), [Fix("fix", edits, True)])
    assert len(done) == 1
    return changed.decode()


def _at(source: str, text: str) -> At:
    """The place of a piece of text that stands once in a source, in UTF-8 bytes."""
    source = dedent(source)
    assert source.count(text) == 1
    start = source.index(text)
    end = start + len(text)

    def place(offset: int) -> tuple[int, int]:
        head = source[:offset]
        return head.count("\n") + 1, len(head[head.rfind("\n") + 1 :].encode())

    return place(start) + place(end)


LOOP = """\
    # head
    import torch


    def train(data):
        \"\"\"Train.\"\"\"
        for epoch in range(3):  # epochs
            # the loader
            loader = f("é", data)  # made

            for batch in loader:
                pass
    """


def test_replace() -> None:
    assert 'g("é")  # made' in _edited(LOOP, Replace(_at(LOOP, 'f("é", data)'), 'g("é")'))


def test_an_expression_is_enclosed() -> None:
    enclosed = Enclose(_at(LOOP, "range(3)"), "islice", ("1", "None"))
    assert "for epoch in islice(range(3), 1, None):  # epochs" in _edited(LOOP, enclosed)
    both = _edited(LOOP, enclosed, Replace(_at(LOOP, '"é"'), "1"))
    assert "islice(range(3), 1, None)" in both and "f(1, data)" in both


def test_a_call_is_made_later() -> None:
    assert 'loader = partial(f, "é", data)  # made' in _edited(LOOP, Defer(_at(LOOP, 'f("é", data)')))
    lines = "file = open(\n    path,  # where\n    mode='rb',\n)\n"
    expected = "file = partial(\n    open,\n    path,  # where\n    mode='rb',\n)\n"
    assert _edited(lines, Defer((1, 7, 4, 1))) == expected


def test_insert_first_in_a_loop_and_in_a_function() -> None:
    loop = _at(LOOP, "for epoch in range(3):  # epochs\n")
    text = _edited(LOOP, InsertInBody(loop, "sampler.set_epoch(epoch)", "first"))
    assert "# epochs\n        sampler.set_epoch(epoch)\n        # the loader\n" in text
    text = _edited(LOOP, InsertInBody(_at(LOOP, "def train(data):"), "x = 1", "first"))
    assert '    """Train."""\n    x = 1\n    for epoch' in text


def test_blank_lines_of_inserted_code_hold_no_spaces() -> None:
    code = "\n# first\ndef f():\n    pass\n\n# second\ndef g():\n    pass\n"
    text = _edited("class A:\n    x = 1\n", Insert((2, 4, 2, 9), code, "after"))
    body = (
        "    x = 1\n\n    # first\n    def f():\n        pass\n\n    # second\n    def g():\n        pass\n"
    )
    assert text == f"class A:\n{body}"


def test_insert_around_a_statement() -> None:
    inner = _at(LOOP, '"é"')
    assert "# epochs\n        x = 1\n        # the loader\n        loader" in _edited(
        LOOP, Insert(inner, "x = 1", "before")
    ).replace("\n\n", "\n")
    assert "# made\n        x = 1\n" in _edited(LOOP, Insert(inner, "x = 1", "after"))
    assert "\ndef helper(): ...\n" in _edited(LOOP, Insert(inner, "def helper(): ...", "top"))


def test_last_in_a_decorated_class() -> None:
    source = "@decorate\nclass A:\n    def f(self):\n        return 1\n\n\nx = 2\n"
    text = _edited(source, InsertInBody(_at(source, "class A:"), "\ndef g(self):\n    return 2\n", "last"))
    assert text == (
        "@decorate\nclass A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n\n\nx = 2\n"
    )


def test_move_before_a_loop() -> None:
    text = _edited(LOOP, Move(_at(LOOP, '"é"'), _at(LOOP, "for epoch in range(3):  # epochs\n")))
    assert '    # the loader\n    loader = f("é", data)  # made\n    for epoch' in text
    assert text.count("loader = ") == 1


def test_guard() -> None:
    source = "import a\n\nx = a.f()\n\n# go\nfor b in x:\n    print(b)\nprint('''\nend\n''')\n"
    text = _edited(source, Guard(_at(source, "for b in x:"), _at(source, "print('''\nend\n''')")))
    assert text == (
        'import a\n\nx = a.f()\n\nif __name__ == "__main__":\n    # go\n    for b in x:\n        print(b)\n'
        "    print('''\nend\n''')\n"
    )


def test_imports_are_added_once() -> None:
    text = _edited(LOOP, AddImport("torch"), AddImport("torch.utils.data", "get_worker_info"))
    assert text.count("import torch\n") == 1
    assert "from torch.utils.data import get_worker_info\n" in text


def test_a_fix_with_an_edit_that_finds_no_place_is_left_out_as_a_whole() -> None:
    good = Fix("good", (Replace(_at(LOOP, '"é"'), "1"),), True)
    bad = Fix("bad", (Replace(_at(LOOP, "range(3)"), "2"), InsertInBody((2, 0, 2, 5), "x", "last")), True)
    changed, done = apply_fixes(dedent(LOOP).encode(), [good, bad])
    assert done == (good,)
    assert b"f(1, data)" in changed


def test_what_cannot_be_parsed_is_left_alone() -> None:
    with pytest.raises(ValueError, match="cannot be edited"):
        apply_fixes(b"def f(:\n", [Fix("fix", (AddImport("torch"),), True)])
