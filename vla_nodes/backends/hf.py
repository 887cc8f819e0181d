"""A Hugging Face transformers model in this process: from a folder or a hub name, by AutoConfig and AutoModel.

Two heads. actions: AutoModel; it gets the contract's streams and the instruction by their keys (what a processor of the
checkpoint makes of pictures and text in their place, when there is one) and its output holds the action groups by
their keys, [1, horizon, size], and perhaps ``confidence``, ``understood`` and the contract's memory. tokens:
AutoModelForImageTextToText; it generates horizon x size tokens, which are bins of -1…1 counted from the end of the
vocabulary (Kim et al. 2024, "OpenVLA").
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vla_nodes.backends.wire import Request, Wire, WireError
from vla_nodes.core.contract import Loaded
from vla_nodes.core.contract_schema import Hf

#: What a checkpoint's configuration may say, and the contract must then agree with.
SAID = ("horizon", "step", "joint_names", "action_size", "state_size")


def _options(loaded: Loaded) -> Hf:
    return loaded.terms.hf or Hf()


def _source(loaded: Loaded, where: str) -> dict[str, Any]:
    """Arguments of every from_pretrained; a folder never asks the network."""
    options = _options(loaded)
    out: dict[str, Any] = {"trust_remote_code": options.trust_remote_code, "local_files_only": Path(where).is_dir()}
    return out | ({"revision": options.revision} if options.revision else {})


def _register(loaded: Loaded) -> None:
    """Import what registers the checkpoint's own classes. ContractError when there is no such module."""
    module = _options(loaded).module
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise loaded.refuse("hf.module", module, str(error)) from None


class HfWire(Wire):
    """``where``: the checkpoint. A model cannot be interrupted: what it says after the deadline is dropped."""

    outlives_deadline = True

    def __init__(self, loaded: Loaded, where: str) -> None:
        self._loaded, self._where, self._options = loaded, where, _options(loaded)
        self._model: Any = None
        self._processor: Any = None

    @classmethod
    def check(cls, loaded: Loaded, where: str) -> None:
        """Compare the contract with the checkpoint's configuration, before anything is loaded."""
        from transformers import AutoConfig

        _register(loaded)
        try:
            config = AutoConfig.from_pretrained(where, **_source(loaded, where))
        except (OSError, ValueError, KeyError) as error:
            text = " ".join(str(error).split())[:300]
            raise loaded.refuse("checkpoint", loaded.terms.checkpoint, f"cannot be used: {text}") from None
        terms = loaded.terms
        mine = {"horizon": terms.horizon, "step": terms.step, "joint_names": list(loaded.joints),
                "action_size": sum(g.size for g in terms.actions), "state_size": sum(g.size for g in terms.state)}
        for name in SAID:
            theirs = getattr(config, name, None)
            if theirs is not None:
                theirs = list(theirs) if isinstance(theirs, (list, tuple)) else theirs
                loaded.compare(name, mine[name], f"the checkpoint {where}", theirs)

    def open(self) -> None:
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()  # a node's log and a command's table have no use for it
        if self._options.threads:
            torch.set_num_threads(self._options.threads)
        _register(self._loaded)
        source = _source(self._loaded, self._where)
        tokens = self._options.head == "tokens"
        kind = transformers.AutoModelForImageTextToText if tokens else transformers.AutoModel
        try:
            model, said = kind.from_pretrained(self._where, use_safetensors=True, output_loading_info=True, **source)
            missing = sorted(said["missing_keys"])
            if missing:  # transformers fills them with random numbers
                raise ValueError(f"{len(missing)} weights are missing, first {missing[0]}; export it again whole")
            self._model = model.eval().to(self._options.device)
            if tokens or any((Path(self._where) / f).is_file() for f in ("processor_config.json", "tokenizer.json")):
                self._processor = transformers.AutoProcessor.from_pretrained(self._where, **source)
        except Exception as error:  # transformers has many ways to say that a checkpoint is not whole
            text = " ".join(str(error).split())[:300]
            raise WireError("CONTRACT", f"the checkpoint {self._where} cannot be loaded: {type(error).__name__}: {text}"
                            ) from None  # fmt: skip

    def ask(self, request: Request) -> Mapping[str, Any]:
        import torch

        try:
            # guidance takes gradients inside, which inference mode would forbid for good
            with torch.no_grad() if self._options.real_time_chunking else torch.inference_mode():
                return self._tokens(request) if self._options.head == "tokens" else self._actions(request)
        except WireError:
            raise
        except Exception as error:
            raise WireError("SERVER_ERROR", f"{self._where}: {type(error).__name__}: {error}"[:300], lost=False
                            ) from None  # fmt: skip

    def _inputs(self, request: Request) -> dict[str, Any]:
        """Tensors with a batch of one, on the device."""
        import torch

        terms = self._loaded.terms
        values: dict[str, Any] = {k: torch.from_numpy(np.array(v))[None] for k, v in request.inputs.items()}
        if self._processor is not None:
            images = [request.inputs[p.key] for p in terms.pictures]
            text = self._options.prompt.replace("{instruction}", request.instruction)
            made = self._processor(images=[images], text=[text], return_tensors="pt")
            values = {k: v for k, v in values.items() if k not in {p.key for p in terms.pictures}} | dict(made)
        else:
            values[terms.instruction] = [request.instruction]
        return {k: v.to(self._options.device) if hasattr(v, "to") else v for k, v in values.items()}

    def _actions(self, request: Request) -> dict[str, Any]:
        import torch

        inputs = self._inputs(request)
        groups = self._loaded.terms.actions
        if self._options.real_time_chunking and request.prefix is not None:
            rows, delay = request.prefix
            inputs["prefix"] = torch.cat([torch.as_tensor(rows[g.key], dtype=torch.float32) for g in groups], 1)[None]
            inputs["delay"] = delay
        answer = self._model(**inputs)
        memory = self._loaded.terms.memory
        keys = [*(g.key for g in groups), "confidence", "understood", *([memory.key] if memory else [])]
        out = {k: answer[k].detach().float().cpu().numpy()[0] for k in keys if k in answer}
        return out or {k: None for k in answer}

    def _tokens(self, request: Request) -> dict[str, Any]:
        """Only tokens that stand for bins are generated."""
        groups = self._loaded.terms.actions
        horizon, size = self._loaded.terms.horizon, sum(g.size for g in groups)
        states = {g.key for g in self._loaded.terms.state}
        inputs = {k: v for k, v in self._inputs(request).items() if k not in states}
        last = self._model.config.get_text_config().vocab_size
        bins = list(range(last - self._options.bins, last))
        made = self._model.generate(**inputs, max_new_tokens=horizon * size, min_new_tokens=horizon * size,
                                    do_sample=False, prefix_allowed_tokens_fn=lambda *_: bins)  # fmt: skip
        ids = made[0, -horizon * size :].cpu().numpy()
        edges = np.linspace(-1.0, 1.0, self._options.bins)
        centres = 0.5 * (edges[:-1] + edges[1:])
        rows = centres[np.clip(last - 1 - ids, 0, len(centres) - 1)].reshape(horizon, size)
        ends = np.cumsum([g.size for g in groups])[:-1]
        return {g.key: part for g, part in zip(groups, np.split(rows, ends, axis=1), strict=True)}

    def abort(self) -> None:
        """A computation cannot be interrupted."""

    def close(self) -> None:
        self._model = self._processor = None
