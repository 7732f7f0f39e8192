"""The loaders that a Hugging Face ``Trainer`` builds, from its ``TrainingArguments``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dlcheck.facts.model import Attr, Call, Const, Expr, Name
from dlcheck.program.arguments import Arguments
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.scope import CallSite, Scope
from dlcheck.program.values import External, Made, Ref

SPELLED = {
    "num_workers": "dataloader_num_workers",
    "pin_memory": "dataloader_pin_memory",
    "persistent_workers": "dataloader_persistent_workers",
    "prefetch_factor": "dataloader_prefetch_factor",
    "drop_last": "dataloader_drop_last",
    "batch_size": "per_device_train_batch_size",
}
_PLAIN = {spelled: name for name, spelled in SPELLED.items()}
_PACKAGES = ("transformers.", "trl.", "sentence_transformers.")
# Where ``transformers.Trainer`` takes what it is given by position.
_ARGS, _COLLATOR, _TRAIN_DATASET = 1, 2, 3


def trainer_loaders(
    evaluator: Evaluator, scopes: Iterable[Scope]
) -> Iterator[tuple[CallSite, str, Arguments]]:
    """For each Trainer whose arguments are made where they can be seen: the place that makes them, as if it built the loader
    for training; the name of the Trainer; and the arguments, by the names of ``DataLoader``.
    """
    for scope in scopes:
        for site in scope.calls:
            name = _trainer(evaluator, site)
            if name:
                for made in _training_arguments(evaluator, site):
                    found = _as_loader(evaluator, site, made)
                    yield found, name, Arguments(evaluator, found.call, found.scope)


def _trainer(evaluator: Evaluator, site: CallSite) -> str:
    func = site.call.func
    last = func.id if isinstance(func, Name) else func.attr if isinstance(func, Attr) else ""
    if not last.endswith("Trainer"):
        return ""
    for value in evaluator.values(func, site.scope):
        values = evaluator.lineage(value.scope) if isinstance(value, Ref) else (value,)
        for base in values:
            if (
                isinstance(base, External)
                and base.name.startswith(_PACKAGES)
                and base.name.endswith("Trainer")
            ):
                return last
    return ""


def _given(site: CallSite, name: str, position: int) -> Expr | None:
    args = site.call.args
    return dict(site.call.keywords).get(name) or (args[position] if len(args) > position else None)


def _training_arguments(evaluator: Evaluator, site: CallSite) -> Iterator[Made]:
    given = _given(site, "args", _ARGS)
    for value in evaluator.values(given, site.scope) if given is not None else ():
        if isinstance(value, Made) and isinstance(value.what, str) and value.what.startswith(_PACKAGES):
            if value.what.endswith(("TrainingArguments", "Config")):
                yield value


def _as_loader(evaluator: Evaluator, site: CallSite, made: Made) -> CallSite:
    keywords = [(_PLAIN.get(key or "", ""), value) for key, value in made.call.keywords]
    keywords = [(key, value) for key, value in keywords if key]
    at = made.call.at
    if not any(key == "pin_memory" for key, _ in keywords):
        keywords.append(("pin_memory", Const(True, at)))
    keywords.append(("shuffle", Const(True, at)))
    if made.scope is site.scope:
        for key, given in (
            ("dataset", _given(site, "train_dataset", _TRAIN_DATASET)),
            ("collate_fn", _given(site, "data_collator", _COLLATOR)),
        ):
            if given is not None:
                keywords.append((key, given))
    spread = tuple((None, value) for key, value in made.call.keywords if key is None)
    call = Call(made.call.func, (), (*keywords, *spread), at)
    own = next((s for s in made.scope.calls if s.call is made.call), site)
    return CallSite(call, made.scope, own.block, own.statement)
