"""Recordings that are damaged, or made to do harm: their report says what is there, and what is not; nothing else happens."""

from __future__ import annotations

import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from recordings import report, reports, write_attached, write_rich

import dlcheck
from dlcheck.cli.main import main
from dlcheck.diagnosis import guard, load_files
from dlcheck.probe.recording import MAX_PAGES, PAGE_BYTES
from dlcheck.report.run_formats import FORMATS

TWO = ("text", "json")
EVIL = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\x1b]0;title\x07\x9b31m\u202egnp.exe\u2066"
    "\r\n::error::commanded\n##[error]too `](javascript:x) & \"q\" 's' {{ 7*7 }} \ud800 \U000e0041"
)
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0041]"
)
TOKENS = (
    "NaN",
    "-1",
    "1e308",
    "1e999",
    "1000000000",
    "null",
    "[]",
    "{}",
    "true",
    '"x"',
    "9" * 400,
    "[" * 20 + "]" * 20,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rich(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def recording(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "recording")


def files_of(recording: Path) -> list[Path]:
    return sorted(path for path in recording.rglob("*") if path.is_file())


def rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the values of a file of JSON, or of lines of it."""
    if path.suffix == ".jsonl":
        lines = [json.dumps(change(json.loads(line))) for line in path.read_text().splitlines()]
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_text(json.dumps(change(json.loads(path.read_text()))))


def words_of(recording: Path) -> list[Path]:
    return sorted((recording / "events").glob("*.jsonl"))


def test_the_whole_one_is_read_without_a_note_on_damage(whole: Path) -> None:
    notes = json.loads(reports(whole, ("json",))["json"])["notes"]
    assert not [note for note in notes if "damage" in note or "left out" in note or "cut" in note]


@pytest.mark.parametrize("form", FORMATS)
def test_a_recording_of_attach_has_a_report_in_every_format(form: str, tmp_path: Path) -> None:
    attached = write_attached(tmp_path)
    assert "1000" in reports(attached, (form,))[form] or form in (
        "html",
        "speedscope",
        "collapsed",
        "otlp",
        "openmetrics",
    )


@pytest.mark.parametrize("seed", range(6))
def test_damage_of_a_recording_of_attach(tmp_path: Path, seed: int) -> None:
    attached, draw = write_attached(tmp_path), random.Random(seed)
    for path in draw.sample([path for path in files_of(attached) if path.name != "recording.json"], 2):
        path.write_bytes(damaged(path.read_bytes(), draw.choice(("cut", "noise", "values")), draw))
    rewrite(attached / "recording.json", lambda m: m | {"attached": [{"trainer": "x"}, *m["attached"], 7]})
    assert "left out are attached" in reports(attached, (*TWO, "html"))["json"]


def damaged(data: bytes, how: str, draw: random.Random) -> bytes:
    if how == "cut":
        return data[: draw.randrange(len(data) + 1)]
    if how == "noise":
        return draw.randbytes(len(data))
    if how == "bits":
        changed = bytearray(data)
        for _ in range(draw.choice((1, 10, 100))):
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        return bytes(changed)
    if how == "words":
        changed = bytearray(data)
        for _ in range(draw.choice((1, 10, 100))):
            at = draw.randrange(0, len(changed) - 8, 8)
            value = draw.choice(
                (0, 1, 2**64 - 1, 2**63, 2**62, 10**15, draw.getrandbits(64), draw.randrange(256))
            )
            changed[at : at + 8] = value.to_bytes(8, "little")
        return bytes(changed)
    values = list(re.finditer(rb'-?\d+(?:\.\d+)?|"[^"]*"|null|true|false|\[\]|\{\}', data))
    for match in sorted(draw.sample(values, min(len(values), 3)), key=lambda match: -match.start()):
        data = data[: match.start()] + draw.choice(TOKENS).encode() + data[match.end() :]
    return data


@pytest.mark.parametrize("seed", range(12))
def test_damage_at_random_is_noted_or_does_not_matter(recording: Path, seed: int) -> None:
    draw = random.Random(seed)
    before = reports(recording, ("json",))["json"]
    for path in draw.sample(files_of(recording), 2):
        ways = (
            ("cut", "noise", "bits", "words") if path.suffix == ".bin" else ("cut", "noise", "bits", "values")
        )
        if path.name == "recording.json":
            ways = ("cut", "noise")
        path.write_bytes(damaged(path.read_bytes(), draw.choice(ways), draw))
    after = reports(recording, FORMATS if seed < 3 else TWO)["json"]
    assert after == before or json.loads(after)["loaders"] or json.loads(after)["notes"]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_a_recording_that_is_cut_everywhere_says_so(recording: Path, share: float) -> None:
    for path in files_of(recording):
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
    assert json.loads(reports(recording)["json"])["notes"]


def test_each_file_may_be_missing(whole: Path, tmp_path: Path) -> None:
    for number, path in enumerate(files_of(whole)):
        copy = shutil.copytree(whole, tmp_path / str(number))
        (copy / path.relative_to(whole)).unlink()
        notes = json.loads(reports(copy, ("json",))["json"])["notes"]
        if path.name == "recording.json":
            assert any("recording.json cannot be read" in note for note in notes)


def test_a_run_whose_launcher_was_killed_has_no_end_and_says_so(recording: Path) -> None:
    def cut_off(manifest: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value for name, value in manifest.items() if name not in ("end", "exit_code", "overhead")
        }

    before = json.loads(reports(recording, ("json",))["json"])
    rewrite(recording / "recording.json", cut_off)
    found = json.loads(reports(recording)["json"])
    assert "the end of the run was not recorded" in " ".join(found["notes"])
    assert [each["batches"] for each in found["loaders"]] == [each["batches"] for each in before["loaders"]]


def test_a_length_beyond_all_bounds_is_not_read(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sparse files of a terabyte: lines and events are read up to their limit, the rest is refused."""
    monkeypatch.setattr(load_files, "_MOST_TEXT_BYTES", 1_000_000)
    for path in files_of(recording):
        os.truncate(path, 1 << 40)
    (recording / "recording.json").write_text('{"version": 1}')
    for path in sorted((recording / "events").glob("*.bin"))[1:]:
        path.unlink()
    notes = " ".join(json.loads(reports(recording, ("json",))["json"])["notes"])
    assert (
        "the rest is left out" in notes
        and "too large" in notes
        and "wrote more events than are kept" in notes
    )
    assert MAX_PAGES * PAGE_BYTES == 1 << 26


def test_deep_nesting_is_damage(recording: Path) -> None:
    for path in (*words_of(recording), recording / "recording.json", *(recording / "stacks").glob("*.json")):
        path.write_text("[" * 100_000)
    assert "recording.json cannot be read" in " ".join(
        json.loads(reports(recording, ("json",))["json"])["notes"]
    )


def absurd(settings: dict[str, Any], number: Any) -> dict[str, Any]:
    return {name: number if isinstance(value, int) else value for name, value in settings.items()}


@pytest.mark.parametrize("number", [10**9, -1, 0, 1e308, 2**63, "4", None, [], 1024])
def test_absurd_settings_are_left_out(recording: Path, number: Any) -> None:
    for path in words_of(recording):
        rewrite(
            path,
            lambda line: (
                line | {"settings": absurd(line["settings"], number)} if line["kind"] == "loader" else line
            ),
        )
    begun = time.process_time()
    found = json.loads(reports(recording, ("json",))["json"])
    assert len(found["loaders"]) == 2
    # A number of workers is never counted up to.
    assert time.process_time() - begun < 60


@pytest.mark.parametrize("number", [-5, 1e308, 2**62, 2**64, "x", True, [1]])
def test_absurd_numbers_in_the_manifest_and_in_samples_are_left_out(recording: Path, number: Any) -> None:
    def change(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: change(item, key) for key, item in value.items()}
        return number if isinstance(value, (int, float)) and name != "version" else value

    rewrite(recording / "recording.json", change)
    for name in ("processes.jsonl", "machine.jsonl"):
        rewrite(recording / "samples" / name, lambda row: [row[0], row[1], *(number for _ in row[2:])])
    assert json.loads(reports(recording)["json"])["loaders"]


def test_processes_beyond_number_and_times_before_all_time(recording: Path) -> None:
    def change(line: dict[str, Any]) -> dict[str, Any]:
        return line | {
            name: -(10**9) for name in ("t", "pid", "serial", "worker", "begun", "started") if name in line
        }

    for path in words_of(recording):
        rewrite(path, change)
    assert "not as they should be" in " ".join(json.loads(reports(recording)["json"])["notes"])


def evil(value: Any, name: str = "") -> Any:
    """The same with hostile text at the end of every text, but of those that the format is made of."""
    if isinstance(value, str):
        return value if name == "kind" or value.isdecimal() else value + EVIL
    if isinstance(value, list):
        return [evil(item) for item in value]
    if isinstance(value, dict):
        return {key: evil(item, key) for key, item in value.items()}
    return value


@pytest.fixture
def hostile(recording: Path) -> Path:
    for path in files_of(recording):
        if path.suffix != ".bin":
            rewrite(path, evil)
    return recording


def test_hostile_text_is_made_visible_in_every_format(hostile: Path) -> None:
    for form, text in reports(hostile).items():
        assert not UNSEEN.search(text), form
        # JSON writes a backslash twice.
        assert "u202egnp.exe" in text or form in ("collapsed", "speedscope"), form
    page = reports(hostile, ("html",))["html"]
    assert "<script>alert" not in page and "<img" not in page
    for line in reports(hostile, ("text",))["text"].splitlines():
        assert not line.lstrip().startswith("::") and "##[" not in line


def test_hostile_text_in_a_comparison(hostile: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ((), ("--format", "json")):
        assert main(["compare", str(whole), str(hostile), *options]) == 0
        text = capsys.readouterr().out
        assert text and not UNSEEN.search(text)
        for line in text.splitlines() if not options else ():
            assert not line.lstrip().startswith("::") and "##[" not in line


def test_hostile_names_of_files_are_made_visible(recording: Path, tmp_path: Path) -> None:
    name = "\x1b[31m\n::error::x\u202e"
    for folder in ("events", "stacks", "samples"):
        for path in sorted((recording / folder).iterdir()):
            stem = "processes" if folder == "samples" else path.stem
            (path.parent / f"{stem}{name}{path.suffix}").write_bytes(b"damaged")
    (recording / "events" / f"{'9' * 200}-1.bin").write_bytes(b"damaged")
    moved = recording.rename(tmp_path / f"moved{name}")
    found = reports(moved)
    assert "is cut" in found["json"] and "is damaged" in found["json"]
    assert not [form for form, text in found.items() if UNSEEN.search(text)]
    (moved / "recording.json").write_text('{"version": 5}')
    _, _, errors = report(moved, "text")
    assert "format 5" in errors and len(errors.splitlines()) == 1 and not UNSEEN.search(errors)


@pytest.mark.parametrize("length", [10_000, 3_000_000])
def test_long_text_is_cut(recording: Path, length: int) -> None:
    rewrite(recording / "recording.json", lambda manifest: manifest | {"command": ["x" * length]})
    for path in words_of(recording):
        rewrite(path, lambda line: line | {"dataset": "y" * length} if line["kind"] == "loader" else line)
    for form, text in reports(recording).items():
        assert (
            "x" * (guard.MOST_CHARACTERS + 1) not in text and "y" * (guard.MOST_CHARACTERS + 1) not in text
        ), form


def secrets_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files outside a recording, by what they are to be taken for."""
    place = {"file": "SECRET.py", "line": 1, "column": 1, "end_line": 1, "end_column": 1}
    texts = {
        "recording.json": json.dumps({"version": 1, "command": ["SECRET"]}),
        "events/1000-1000500000000.jsonl": json.dumps({"kind": "trouble", "t": 1, "hook": "SECRET", "error": ""}),
        "findings.json": json.dumps(
            [{**dict.fromkeys(("rule", "name", "message", "severity", "confidence", "help"), "SECRET"),
              "place": place, "scope": [1, 1], "also": []}]
        ),
        "excerpts.json": json.dumps([["/job/data.py", 21, 20, ["SECRET"] * 3]]),
        "samples/processes.jsonl": "SECRET",
        "stacks/window-1000-0.json": "SECRET",
    }  # fmt: skip
    for name, text in texts.items():
        path = folder / name.replace("/", "-")
        path.write_text(text)
        yield name, path


def test_links_are_not_followed(recording: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name, path in secrets_of(outside):
        (recording / name).unlink(missing_ok=True)
        (recording / name).symlink_to(path)
    found = reports(recording)
    assert not [form for form, text in found.items() if "SECRET" in text]
    assert "a link, which is not followed" in found["json"]


def test_folders_that_are_links_are_not_followed(recording: Path, tmp_path: Path) -> None:
    for name in ("events", "samples", "stacks"):
        (recording / name).rename(tmp_path / name)
        (recording / name).symlink_to(tmp_path / name)
    found = json.loads(reports(recording)["json"])
    assert not found["loaders"] and "a link" in " ".join(found["notes"])


def test_pipes_and_devices_are_not_opened_for_ever(recording: Path) -> None:
    for path in files_of(recording):
        if path.name != "recording.json":
            path.unlink()
            os.mkfifo(path)
    assert "no regular file" in reports(recording)["json"]


def test_the_page_is_not_written_through_a_link(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    (recording / "report.html").symlink_to(target)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["report", "--format", "html", str(recording)]) == 2
    assert "is a link" in capsys.readouterr().err and target.read_text() == "mine"


_AUDIT = """
import os, sys
sys.path = [path for path in sys.path if path]
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)) if event in (
    "open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir", "os.symlink", "os.system", "os.exec",
    "os.posix_spawn", "subprocess.Popen", "socket.connect", "pickle.find_class", "compile", "exec") else None)
from dlcheck.cli.main import main
import dlcheck, jinja2, rich
before = len(seen)
status = main(sys.argv[1:])
own = [os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, os.path.dirname(dlcheck.__file__), os.path.dirname(os.__file__),
       os.path.dirname(jinja2.__file__), os.path.dirname(rich.__file__))]
for event, args in seen[before:]:
    if event in ("compile", "exec"):
        continue
    where = os.path.realpath(args[0]) if args and isinstance(args[0], (str, bytes)) else ""
    write = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if event != "open" and event not in ("os.listdir", "os.scandir") or write or not any(
        str(where).startswith(p + os.sep) or where == p for p in own) and where:
        print(event, where, "write" if write else "", file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.slow
def test_a_report_touches_the_recording_and_its_output_alone(recording: Path, tmp_path: Path) -> None:
    """Paths that a recording names, absolute or with dots, are text: they are neither read nor looked up."""
    secret = tmp_path / "secret.py"
    secret.write_text("SECRET = 1\n" * 50)

    def name(value: Any) -> Any:
        if isinstance(value, str) and value.endswith((".py", "/job")):
            return str(secret) if value.endswith("data.py") else "../../secret.py"
        if isinstance(value, list):
            return [name(item) for item in value]
        return {key: name(item) for key, item in value.items()} if isinstance(value, dict) else value

    for path in files_of(recording):
        if path.suffix != ".bin":
            rewrite(path, name)
    for form in FORMATS:
        output = tmp_path / f"output.{form}"
        done = subprocess.run(
            [sys.executable, "-c", _AUDIT, "report", "--format", form, "--output", str(output), str(recording)],
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        touched = [line for line in done.stderr.splitlines() if not line.startswith("written to")]
        elsewhere = [
            line for line in touched if str(recording.resolve()) not in line and str(output) not in line
        ]
        assert not elsewhere, elsewhere
        assert not [line for line in touched if line.endswith("write") and str(output) not in line]
        assert "SECRET" not in output.read_text()


_NO_CODE = frozenset(("pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "code", "runpy"))


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("eval", "exec")
        ):
            found.add(node.func.id)
    return found


def test_readers_of_recordings_unpickle_and_execute_nothing() -> None:
    root = Path(dlcheck.__file__).parent
    for folder in ("diagnosis", "report", "comparison"):
        for path in sorted((root / folder).rglob("*.py")):
            assert not imports(path) & (_NO_CODE | {"eval", "exec", "numpy", "torch"}), path


def test_a_poisoned_file_is_not_loaded(recording: Path, tmp_path: Path) -> None:
    poison = b"cos\nsystem\n(S'touch " + str(tmp_path / "poisoned").encode() + b"'\ntR."
    for path in files_of(recording):
        if path.name != "recording.json":
            path.write_bytes(poison)
    (recording / "events" / "1-1.pkl").write_bytes(poison)
    assert "cut" in reports(recording)["json"]
    assert not (tmp_path / "poisoned").exists()


def test_what_is_no_recording_of_this_format_is_one_line(recording: Path) -> None:
    for text in ('{"version": 99}', '{"version": "\\u001b[31m"}', "{}"):
        (recording / "recording.json").write_text(text)
        status, output, errors = report(recording, "text")
        assert status == 2 and not output and len(errors.splitlines()) == 1
        assert "format" in errors and "\x1b" not in errors


def test_values_keep_their_shape() -> None:
    assert guard.parse(b'{"a": [1, 2.5, "b"]}') == {"a": [1, 2.5, "b"]}
    assert guard.visible("a\r\n\tb\x1b\u202e") == "a b\\u001b\\u202e"
    assert guard.parse('"ünï ✓ 数"'.encode()) == "ünï ✓ 数"
    for text in (b"NaN", b"-Infinity", b"1e999", b"9" * 30, b"[" * 10_000, b"\xff", b""):
        with pytest.raises(ValueError):
            guard.parse(text)
    value = {"a": 1, "b": {"c": "x", "d": 2}, "e": None}
    assert guard.prune(value, {"a": str, "b": {"c": str, "d": str}, "e": int}) == ["a", "b.d"]
    assert value == {"b": {"c": "x"}, "e": None}
