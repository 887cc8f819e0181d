"""Models of transformers in this process: small real checkpoints, made here, saved as safetensors and loaded again."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import wait_for
from unit.policy_world import POLICIES, ROBOT, T0, answered, ask, observation, refused

from humanoid_core.timing import MS
from vla_nodes.backends.make import under_contract
from vla_nodes.backends.remote import Remote
from vla_nodes.core.chunking import weights
from vla_nodes.core.contract import ContractError, Loaded, contract_from_data
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Decision

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors_torch = pytest.importorskip("safetensors.torch")

ELBOW, WRIST = "left_elbow_joint", "left_wrist_roll_joint"
#: Turned by tests: what the model does instead of answering.
SWITCH: dict[str, Any] = {"do": ""}


class TinyConfig(transformers.PretrainedConfig):  # type: ignore[misc]
    model_type = "humanoid_twin_tiny"

    def __init__(self, horizon: int = 4, action_size: int = 2, joint_names: tuple[str, ...] = (ELBOW, WRIST),
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon, self.action_size, self.joint_names = horizon, action_size, list(joint_names)


class TinyModel(transformers.PreTrainedModel):  # type: ignore[misc]
    """Rows are the state plus a learned step; the picture and the words move nothing but must be there."""

    config_class = TinyConfig

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(config)
        self.step = torch.nn.Parameter(torch.tensor([0.01, 0.0]))
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        """Nothing to draw."""

    def forward(self, image: Any, state: Any, prompt: Any, prefix: Any = None, delay: int = 0) -> dict[str, Any]:
        assert image.dtype == torch.uint8
        assert prompt == ["touch the red cube"]
        SWITCH["prefix"] = None if prefix is None else (tuple(prefix.shape), delay)
        if SWITCH["do"] == "raise":
            raise RuntimeError("out of memory")
        if SWITCH["do"] == "wait":
            SWITCH["event"].wait(20.0)
        rows = state[:, None, :] + self.step * torch.arange(1, self.config.horizon + 1)[None, :, None]
        if SWITCH["do"] == "nan":
            rows = rows * float("nan")
        return {"actions": rows, "confidence": torch.tensor([0.7])}


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Callable[..., Loaded]]:
    """A checkpoint in a folder, its classes registered by a module, and a contract for it."""
    TinyModel(TinyConfig()).save_pretrained(tmp_path / "checkpoint", safe_serialization=True)
    transformers.AutoConfig.register("humanoid_twin_tiny", TinyConfig, exist_ok=True)
    transformers.AutoModel.register(TinyConfig, TinyModel, exist_ok=True)
    sys.modules["tiny_policy"] = types.ModuleType("tiny_policy")
    SWITCH.update(do="", event=threading.Event())

    def contract(**changes: Any) -> Loaded:
        data = {"robot": "g1", "backend": "hf", "checkpoint": "checkpoint", "step": 0.05, "horizon": 4,
                "pictures": [{"key": "image", "size": [32, 32]}],
                "state": [{"key": "state", "size": 2, "joints": {ELBOW: {"index": 0}, WRIST: {"index": 1}}}],
                "actions": [{"key": "actions", "size": 2, "joints": {ELBOW: {"index": 0}, WRIST: {"index": 1}}}],
                "hf": {"module": "tiny_policy"}, **changes}  # fmt: skip
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(data))
        return contract_from_data(data, tmp_path / "tiny.yaml", ROBOT)

    yield contract
    SWITCH["event"].set()
    del sys.modules["tiny_policy"]


def begun(loaded: Loaded) -> Remote:
    backend = under_contract(loaded, ROBOT)
    assert isinstance(backend, Remote)
    assert backend.start("touch the red cube") is None
    return backend


def test_a_checkpoint_is_loaded_asked_and_its_confidence_told(tiny: Callable[..., Loaded], tmp_path: Path) -> None:
    assert (tmp_path / "checkpoint" / "model.safetensors").is_file()
    backend = begun(tiny())
    decision = answered(backend, 120.0)
    rest = ROBOT.rest[[ROBOT.index(ELBOW), ROBOT.index(WRIST)]]
    want = rest + np.array([0.01, 0.0]) * np.arange(1, 5)[:, None]
    assert np.allclose(decision.positions, want, atol=1e-5)
    assert decision.confidence == pytest.approx(0.7)
    backend.close()


def test_faults_of_a_model_have_the_names_of_a_servers(tiny: Callable[..., Loaded]) -> None:
    backend = begun(tiny(deadline=0.3))
    answered(backend, 120.0)
    for do, code, word in (("raise", "SERVER_ERROR", "out of memory"), ("nan", "BAD_REPLY", "nan")):
        SWITCH["do"] = do
        got = ask(backend)
        assert isinstance(got, Refusal)
        assert (got.code, word in got.detail) == (code, True)
        SWITCH["do"] = ""
        answered(backend)
    SWITCH["do"] = "wait"
    got = ask(backend)
    assert isinstance(got, Refusal)
    assert got.code == "NO_REPLY"
    assert "earlier observation" in refused(backend, "NO_REPLY").detail, "nothing is piled up on a model that thinks"
    SWITCH["do"] = ""
    SWITCH["event"].set()
    answered(backend)
    backend.close()


@pytest.mark.parametrize(("changes", "word"), [
    ({"horizon": 5}, "horizon = 5"), ({"checkpoint": "nowhere/at_all"}, "nowhere/at_all"),
    ({"hf": {"module": "no_such_module"}}, "no_such_module"),
    ({"actions": [{"key": "actions", "size": 2, "joints": {WRIST: {"index": 0}, ELBOW: {"index": 1}}}]}, "joint_names"),
])  # fmt: skip
def test_a_checkpoint_that_does_not_fit_is_refused_when_configuring(
    tiny: Callable[..., Loaded], changes: dict[str, Any], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ContractError) as error:
        under_contract(tiny(**changes), ROBOT)
    assert word in str(error.value)
    assert "tiny.yaml" in str(error.value)


def test_a_checkpoint_that_is_not_whole_says_so(tiny: Callable[..., Loaded], tmp_path: Path) -> None:
    loaded = tiny()
    (tmp_path / "checkpoint" / "model.safetensors").unlink()
    backend = begun(loaded)
    assert "cannot be loaded" in refused(backend, "CONTRACT", 120.0).detail
    backend.close()


def test_a_checkpoint_without_all_weights_is_not_run_on_random_ones(tiny: Callable[..., Loaded],
                                                                    tmp_path: Path) -> None:
    loaded = tiny()
    file = tmp_path / "checkpoint" / "model.safetensors"
    safetensors_torch.save_file({"other": torch.zeros(1)}, file, metadata={"format": "pt"})
    backend = begun(loaded)
    assert "1 weights are missing, first step" in refused(backend, "CONTRACT", 120.0).detail
    backend.close()


def test_statistics_in_the_checkpoint_scale_what_it_says(tiny: Callable[..., Loaded], tmp_path: Path) -> None:
    blob = json.dumps({"actions": {"mean": [0.0, 0.0], "std": [2.0, 1.0]},
                       "state": {"mean": [0.0, 0.0], "std": [2.0, 1.0]}}).encode()  # fmt: skip
    (tmp_path / "checkpoint" / "statistics.json").write_bytes(blob)
    entry = {"size": 2, "joints": {ELBOW: {"index": 0}, WRIST: {"index": 1}}}
    loaded = tiny(
        statistics={"file": "statistics.json", "sha256": hashlib.sha256(blob).hexdigest()},
        state=[{**entry, "key": "state", "normalise": {"kind": "mean_std", "at": "state"}}],
        actions=[{**entry, "key": "actions", "normalise": {"kind": "mean_std", "at": "actions"}}])  # fmt: skip
    backend = begun(loaded)
    rows = answered(backend, 120.0).positions
    assert np.allclose(rows[:, 0], ROBOT.rest[ROBOT.index(ELBOW)] + 0.02 * np.arange(1, 5), atol=1e-5)
    backend.close()


def test_a_flow_policy_is_told_the_rows_to_come(tiny: Callable[..., Loaded]) -> None:
    backend = begun(tiny(hf={"module": "tiny_policy", "real_time_chunking": True}))
    answered(backend, 120.0)
    assert SWITCH["prefix"] is None
    assert isinstance(backend.observe(observation(T0)), Decision)
    assert isinstance(backend.observe(observation(T0 + 50 * MS, following_ns=T0, lead=0.08)), Decision)
    assert SWITCH["prefix"] == ((1, 3, 2), 2)
    backend.close()


def test_real_time_chunking_binds_the_frozen_rows_and_leaves_the_last_free() -> None:
    """A flow that leads every noise to 1: guided by rows of 0 it stays near 0 where they are frozen."""
    from vla_nodes.backends.flow import denoise

    def velocity(x: Any, tau: float) -> Any:
        return (1.0 - x) / (1.0 - tau)

    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 10, 3)))
    free = denoise(velocity, noise)
    assert torch.allclose(free, torch.ones_like(free))

    # that flow ends in one point whatever the noise, so its gradient is zero and there is nothing to guide
    def gaussian(x: Any, tau: float) -> Any:
        """Towards N(1, 1): mean velocity of the straight path from N(0, 1)."""
        return 1.0 + x * 0.0 + (x - tau) * (2.0 * tau - 1.0) / (tau**2 + (1.0 - tau) ** 2)

    bound = denoise(gaussian, noise, 20, torch.zeros(1, 6, 3, dtype=noise.dtype), 3)
    loose = denoise(gaussian, noise, 20)
    assert torch.mean(torch.abs(bound[:, :3])) < 0.2 * torch.mean(torch.abs(loose[:, :3]))
    assert torch.allclose(bound[:, 6:], loose[:, 6:]), "rows beyond the old chunk are the model's own"


def test_the_weights_of_real_time_chunking() -> None:
    w = weights(10, 7, 3)
    assert np.array_equal(w[:3], np.ones(3))
    assert np.all(np.diff(w[2:8]) < 0.0)
    assert np.array_equal(w[7:], np.zeros(3))
    assert np.array_equal(weights(4, 9, 9), np.ones(4))
    assert np.array_equal(weights(4, 0, 2), np.zeros(4))


def test_a_vision_language_model_speaks_in_action_tokens(tmp_path: Path) -> None:
    _save_vlm(tmp_path / "vlm")
    data = yaml.safe_load((POLICIES / "g1_hf.yaml").read_text()) | {
        "checkpoint": "vlm", "horizon": 3, "deadline": 0.9, "pictures": [{"key": "pixel_values", "size": [32, 32]}],
        "state": [], "actions": [{"key": "actions", "size": 2, "joints": {ELBOW: {"index": 0}, WRIST: {"index": 1}}}],
        "hf": {"head": "tokens", "bins": 16, "prompt": "<image> what now {instruction}"}}  # fmt: skip
    backend = begun(contract_from_data(data, tmp_path / "vlm.yaml", ROBOT))
    decision = answered(backend, 120.0)
    assert decision.positions.shape == (3, 2)
    edges = np.linspace(-1.0, 1.0, 16)
    centres = (edges[1:] + edges[:-1]) / 2
    assert np.all(np.min(np.abs(decision.positions[..., None] - centres), axis=-1) < 1e-6)
    backend.close()


def _save_vlm(folder: Path) -> None:
    """A LLaVA of two small layers with random weights, its tokenizer and its image processor."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<unk>", "<s>", "</s>", "<pad>", "<image>", "what", "now", "touch", "the", "red", "cube"]
    vocabulary = {w: i for i, w in enumerate(words + [f"<a{i}>" for i in range(16)])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"})
    image = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor = transformers.LlavaProcessor(image_processor=image, tokenizer=tokenizer, patch_size=16,
                                            vision_feature_select_strategy="default", num_additional_image_tokens=1)
    vision = transformers.CLIPVisionConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=2, projection_dim=16,
                                           num_attention_heads=2, image_size=32, patch_size=16)
    text = transformers.LlamaConfig(vocab_size=len(vocabulary), hidden_size=16, intermediate_size=16,
                                    num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
                                    bos_token_id=1, eos_token_id=2, pad_token_id=3)
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=4)
    torch.manual_seed(0)
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder, safe_serialization=True)
    processor.save_pretrained(folder)


def test_closing_does_not_wait_for_a_model_that_loads(tiny: Callable[..., Loaded]) -> None:
    backend = begun(tiny())
    began = time.monotonic()
    backend.close()
    assert time.monotonic() - began < 5.0
    wait_for(lambda: not backend.link.ready, 30.0, "the link to end")
