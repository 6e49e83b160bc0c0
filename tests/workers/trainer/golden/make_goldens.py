"""Writes losses.json, adamw.json and schedules.json beside itself. Needs torch, transformers and numpy.

The losses follow TRL's way of writing them (padded [B, T] tensors and masks) where TRL has the loss, and the papers'
formulas token by token where it has not; the model is transformers' own, in float64. Weights, gradients and batches come
from a hash of (name, index), which tests/workers/trainer/tiny_models.cpp repeats, so that no weights need to be stored.
"""
import json
import math
import pathlib

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM, get_scheduler

HERE = pathlib.Path(__file__).parent
torch.set_num_threads(1)


# ---- Numbers out of a hash --------------------------------------------------------------------------------------------
def fnv1a(text: str) -> int:
    value = 2166136261
    for byte in text.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def uniform(name: str, count: int) -> np.ndarray:
    """`count` numbers in [-0.5, 0.5)."""
    x = (np.arange(count, dtype=np.uint64) * 2654435761 + fnv1a(name)) & 0xFFFFFFFF
    for _ in range(2):
        x ^= x >> np.uint64(16)
        x = (x * 0x45D9F3B) & 0xFFFFFFFF
    x ^= x >> np.uint64(16)
    return x.astype(np.float64) / 2**32 - 0.5


def parameter_values(name: str, shape) -> np.ndarray:
    u = uniform(name, math.prod(shape)).reshape(shape)
    values = 1 + 0.4 * u if len(shape) == 1 else 0.8 * u
    return values.astype(np.float32)


# ---- Models -----------------------------------------------------------------------------------------------------------
COMMON = dict(max_position_embeddings=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)


def llama():
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=37, hidden_size=24, intermediate_size=40, head_dim=6, rms_norm_eps=1e-5, rope_theta=10000.0,
        tie_word_embeddings=False, attn_implementation="eager", **COMMON))


def qwen3_tied():
    return Qwen3ForCausalLM(Qwen3Config(
        vocab_size=40, hidden_size=16, intermediate_size=24, head_dim=8, rms_norm_eps=1e-6, rope_theta=1000000.0,
        tie_word_embeddings=True, attn_implementation="eager", **COMMON))


MODELS = {"llama": llama, "qwen3_tied": qwen3_tied}


def make_model(name: str):
    model = MODELS[name]()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():  # tied ones once
            parameter.copy_(torch.from_numpy(parameter_values(parameter_name, tuple(parameter.shape))))
    return model.double().eval()


# ---- Batches ----------------------------------------------------------------------------------------------------------
GROUPS = [5, -2, 5, 9, 3, 5, -2, 3]         # of three, two, one and two; wherever they stand
REWARDS = [1.0, 0.5, 0.25, 2.0, 0.0, -1.0, 0.5, 3.0]  # group -2 is all equal
LENGTHS = [6, 3, 1, 9, 2, 4, 7, 5]
PROMPTS = [3, 1, 2, 4, 2, 3, 1, 5]


def make_batch(model, vocab: int):
    """Lines as `jigsaw loss` reads them; log-probs far enough from the model's to reach every branch of a clip."""
    lines = []
    for i, (group, reward, length, prompt) in enumerate(zip(GROUPS, REWARDS, LENGTHS, PROMPTS)):
        draw = ((uniform(f"tokens.{i}", prompt + length) + 0.5) * vocab).astype(int).tolist()
        line = dict(group=group, reward=reward, prompt_tokens=draw[:prompt], tokens=draw[prompt:])
        lp = completion_logprobs(model, line).detach().numpy()
        line["old_logprobs"] = [round(float(x), 5) for x in lp + 1.1 * uniform(f"old.{i}", length)]
        line["ref_logprobs"] = [round(float(x), 5) for x in lp + 1.3 * uniform(f"ref.{i}", length)]
        lines.append(line)
    return lines


def completion_logprobs(model, line) -> torch.Tensor:
    tokens = torch.tensor([line["prompt_tokens"] + line["tokens"]])
    logprobs = model(tokens).logits.log_softmax(-1)[0, :-1].gather(1, tokens[0, 1:, None])[:, 0]
    return logprobs[len(line["prompt_tokens"]) - 1:]


def padded(rows, width):
    return torch.stack([torch.nn.functional.pad(row, (0, width - len(row))) for row in rows])


# ---- Losses -----------------------------------------------------------------------------------------------------------
def trl_advantages(rewards, groups, scale_rewards):
    rewards = torch.tensor(rewards, dtype=torch.float64)
    advantages = torch.zeros_like(rewards)
    for group in set(groups):
        index = torch.tensor([i for i, g in enumerate(groups) if g == group])
        members = rewards[index]
        advantages[index] = members - members.mean()
        if scale_rewards == "group":
            advantages[index] /= (members.std() if len(members) > 1 else 0.0) + 1e-4
    if scale_rewards == "batch":
        advantages /= rewards.std() + 1e-4
    return advantages


def kl_term(estimator, lp, ref):
    log_ratio = lp - ref
    return {"k1": log_ratio, "k2": 0.5 * log_ratio**2, "k3": torch.exp(-log_ratio) + log_ratio - 1}[estimator]


def assert_clear_of(values, *bounds):
    for bound in bounds:
        assert (values.detach() - bound).abs().min() > 1e-4, "a ratio stands on a clip's edge; change the batch"


def group_loss(algorithm, s, lp, old, ref, mask, groups, rewards):
    """grpo, dr_grpo, dapo, gspo, cispo: GRPOTrainer._compute_loss of TRL 1.16."""
    advantages = trl_advantages(rewards, groups, s["scale_rewards"])
    log_ratio = (lp - old) * mask
    if algorithm == "gspo":
        log_ratio = (log_ratio.sum(-1) / mask.sum(-1))[:, None]
    behaviour_weight = 1.0
    if s["importance_cap"] > 0:  # decoupled: the ratio is to the current policy, `old` a truncated constant weight
        behaviour_weight = torch.clamp(log_ratio.detach().exp(), max=s["importance_cap"])
        log_ratio = log_ratio - log_ratio.detach()
    ratio = log_ratio.exp()
    low, high = s["epsilon"], s["epsilon_high"] if s["epsilon_high"] is not None else s["epsilon"]
    a = advantages[:, None]
    if algorithm == "cispo":
        assert_clear_of(ratio, high)
        token_loss = -torch.clamp(ratio, max=high).detach() * a * lp
    else:
        assert_clear_of(ratio, 1 - low, 1 + high)
        token_loss = -torch.min(ratio * a, torch.clamp(ratio, 1 - low, 1 + high) * a)
    token_loss = token_loss * behaviour_weight
    if s["beta"] > 0:
        kl = kl_term(s["kl_estimator"], lp, ref)
        token_loss = token_loss + s["beta"] * (kl * ratio if s["use_bias_correction_kl"] else kl)
    if algorithm in ("grpo", "gspo"):
        loss = ((token_loss * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).mean()
    elif algorithm == "dr_grpo":
        loss = (token_loss * mask).sum() / (token_loss.size(0) * s["max_completion_length"])
    else:
        loss = (token_loss * mask).sum() / mask.sum()
    return loss, advantages


def rloo_loss(s, lp, old, ref, mask, groups, rewards):
    """RLOOTrainer of TRL 1.16, for groups of any size."""
    rewards = torch.tensor(rewards, dtype=torch.float64) - s["beta"] * ((old - ref) * mask).sum(-1)
    advantages = torch.zeros_like(rewards)
    for i, group in enumerate(groups):
        others = [rewards[j] for j, g in enumerate(groups) if g == group and j != i]
        if others:
            advantages[i] = rewards[i] - sum(others) / len(others)
    if s["normalize_advantages"]:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-4)
    log_ratio = ((lp - old) * mask).sum(-1)
    weight = 1.0
    if s["importance_cap"] > 0:
        weight = torch.clamp(log_ratio.detach().exp(), max=s["importance_cap"])
        log_ratio = log_ratio - log_ratio.detach()
    ratio = log_ratio.exp()
    low, high = s["epsilon"], s["epsilon_high"] if s["epsilon_high"] is not None else s["epsilon"]
    assert_clear_of(ratio, 1 - low, 1 + high)
    loss = -torch.min(ratio * advantages, torch.clamp(ratio, 1 - low, 1 + high) * advantages) * weight
    return loss.mean(), advantages


def reinforce_pp_loss(s, lp, old, ref, lengths, rewards):
    """Token by token."""
    returns = []
    for i, length in enumerate(lengths):
        for t in range(length):
            kl_to_go = sum((old[i, u] - ref[i, u]).item() for u in range(t, length))
            returns.append(rewards[i] - s["beta"] * kl_to_go)
    mean, std = np.mean(returns), np.std(returns, ddof=1)
    low, high = s["epsilon"], s["epsilon_high"] if s["epsilon_high"] is not None else s["epsilon"]
    total, at, advantages = 0.0, 0, []
    for i, length in enumerate(lengths):
        own = [(g - mean) / (std + 1e-4) for g in returns[at:at + length]]
        at += length
        advantages.append(float(np.mean(own)))
        for t, a in enumerate(own):
            r = torch.exp(lp[i, t] - old[i, t])
            weight = 1.0
            if s["importance_cap"] > 0:
                weight = min(r.item(), s["importance_cap"])
                r = torch.exp(lp[i, t] - lp[i, t].detach())
            assert_clear_of(r, 1 - low, 1 + high)
            total = total - weight * torch.minimum(r * a, r.clamp(1 - low, 1 + high) * a)
    return total / len(returns), torch.tensor(advantages)


DEFAULTS = dict(epsilon=0.2, epsilon_high=None, beta=0.0, kl_estimator="k3", scale_rewards="group",
                use_bias_correction_kl=True, normalize_advantages=False, max_completion_length=0, importance_cap=0.0)


def compute_case(model, batch, algorithm, settings, with_old):
    s = DEFAULTS | settings
    width = max(len(line["tokens"]) for line in batch)
    lp = padded([completion_logprobs(model, line) for line in batch], width)
    as_float32 = lambda key: padded([torch.tensor(line[key], dtype=torch.float32).double() for line in batch], width)
    old = as_float32("old_logprobs") if with_old else lp.detach()
    ref = as_float32("ref_logprobs")
    lengths = [len(line["tokens"]) for line in batch]
    mask = (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).double()
    groups, rewards = [line["group"] for line in batch], [line["reward"] for line in batch]
    if algorithm == "rloo":
        loss, advantages = rloo_loss(s, lp, old, ref, mask, groups, rewards)
    elif algorithm == "reinforce_pp":
        loss, advantages = reinforce_pp_loss(s, lp, old, ref, lengths, rewards)
    else:
        loss, advantages = group_loss(algorithm, s, lp, old, ref, mask, groups, rewards)
    model.zero_grad()
    loss.backward()
    return loss.item(), advantages.tolist()


ENTRIES = {
    "llama": [("model.embed_tokens.weight", 3, 7), ("lm_head.weight", 36, 23), ("model.norm.weight", 5, 0),
              ("model.layers.0.self_attn.q_proj.weight", 17, 2), ("model.layers.1.self_attn.k_proj.weight", 11, 20),
              ("model.layers.0.self_attn.v_proj.weight", 0, 1), ("model.layers.1.self_attn.o_proj.weight", 23, 4),
              ("model.layers.0.mlp.gate_proj.weight", 39, 11), ("model.layers.1.mlp.up_proj.weight", 20, 3),
              ("model.layers.0.mlp.down_proj.weight", 12, 33), ("model.layers.1.input_layernorm.weight", 8, 0)],
    "qwen3_tied": [("model.embed_tokens.weight", 21, 9), ("model.layers.0.self_attn.q_norm.weight", 3, 0),
                   ("model.layers.1.self_attn.k_norm.weight", 7, 0), ("model.layers.1.mlp.down_proj.weight", 15, 20),
                   ("model.layers.0.self_attn.q_proj.weight", 30, 15),
                   ("model.layers.1.post_attention_layernorm.weight", 2, 0)],
}

GROUP_KIND_SETTINGS = [
    {},
    {"scale_rewards": "batch", "epsilon": 0.1, "epsilon_high": 0.28},
    {"scale_rewards": "none", "beta": 0.05},
    {"beta": 0.3, "use_bias_correction_kl": False, "epsilon": 0.15},
    {"beta": 0.2, "kl_estimator": "k1"},
    {"beta": 0.2, "kl_estimator": "k2", "scale_rewards": "batch", "use_bias_correction_kl": False},
    {"importance_cap": 1.1, "beta": 0.1},
]


def settings_of(algorithm):
    if algorithm == "rloo":
        return [{}, {"beta": 0.1}, {"beta": 0.1, "normalize_advantages": True, "epsilon": 0.1, "epsilon_high": 0.5},
                {"normalize_advantages": True}, {"importance_cap": 1.2}]
    if algorithm == "reinforce_pp":
        return [{}, {"beta": 0.1}, {"beta": 0.4, "epsilon": 0.1, "epsilon_high": 0.3}, {"importance_cap": 0.9}]
    extra = {}
    if algorithm == "dr_grpo":
        extra = {"max_completion_length": 16}
    if algorithm == "cispo":
        extra = {"epsilon_high": 1.2}
    cases = [settings | extra for settings in GROUP_KIND_SETTINGS]
    return cases + ([{}] if algorithm == "cispo" else [])  # without epsilon_high the bound is epsilon


def make_losses():
    out = {"models": {}, "cases": []}
    for model_name, entries in ENTRIES.items():
        model = make_model(model_name)
        batch = make_batch(model, model.config.vocab_size)
        logprobs = [[float(f"{x:.9g}") for x in completion_logprobs(model, line)] for line in batch]
        out["models"][model_name] = {"batch": batch, "logprobs": logprobs, "entries": [list(e) for e in entries]}
        parameters = dict(model.named_parameters())
        for algorithm in ("grpo", "dr_grpo", "dapo", "rloo", "reinforce_pp", "gspo", "cispo"):
            for settings in settings_of(algorithm):
                for with_old in (True, False):
                    loss, advantages = compute_case(model, batch, algorithm, settings, with_old)
                    squares = sum((p.grad**2).sum().item() for p in parameters.values())
                    gradient = [parameters[n].grad.reshape(parameters[n].shape[0], -1)[r, c].item() for n, r, c in entries]
                    as_text = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in settings.items()}
                    round9 = lambda values: [float(f"{v:.9g}") for v in values]
                    out["cases"].append(dict(
                        model=model_name, algorithm=algorithm, settings=as_text, with_old=with_old,
                        loss=float(f"{loss:.9g}"), grad_norm=float(f"{math.sqrt(squares):.9g}"),
                        advantages=round9(advantages), gradient=round9(gradient)))
    return out


# ---- Optimizer --------------------------------------------------------------------------------------------------------
def make_adamw():
    """Six steps of torch.optim.AdamW with clipping and warm-up + cosine; gradients out of the hash."""
    model = MODELS["llama"]().double()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(parameter_values(name, tuple(parameter.shape))))
    matrices = [p for p in parameters.values() if p.ndim == 2]
    vectors = [p for p in parameters.values() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=3e-3, betas=(0.8, 0.95), eps=1e-6)
    scheduler = get_scheduler("cosine", optimizer, num_warmup_steps=2, num_training_steps=8)
    steps = []
    for step in range(1, 7):
        scale = 0.01 * step  # norms of 0.3 to 1.8: clipped or not
        for name, parameter in parameters.items():
            values = (uniform(f"gradient.{step}.{name}", parameter.numel()) * scale).astype(np.float32)
            parameter.grad = torch.from_numpy(values).double().reshape(parameter.shape)
        lr = scheduler.get_last_lr()[0]
        grad_norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), 0.5).item()
        optimizer.step()
        scheduler.step()
        values = [parameters[n].detach().reshape(parameters[n].shape[0], -1)[r, c].item() for n, r, c in ENTRIES["llama"]]
        steps.append(dict(lr=lr, grad_norm=grad_norm, values=values))
    return dict(entries=[list(e) for e in ENTRIES["llama"]], steps=steps)


def make_schedules():
    cases = []
    for ours, theirs, warmup, total, min_ratio in [
            ("constant", "constant_with_warmup", 4, 0, 0.0), ("constant", "constant", 0, 0, 0.0),
            ("linear", "linear", 0, 10, 0.0), ("linear", "linear", 3, 12, 0.0), ("cosine", "cosine", 0, 9, 0.0),
            ("cosine", "cosine", 5, 20, 0.0), ("cosine", "cosine_with_min_lr", 2, 14, 0.25)]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.02)
        extra = {"scheduler_specific_kwargs": {"min_lr_rate": min_ratio}} if theirs.endswith("min_lr") else {}
        scheduler = get_scheduler(theirs, optimizer, num_warmup_steps=warmup, num_training_steps=total or None, **extra)
        rates = []
        for _ in range(total or 8):
            rates.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        cases.append(dict(schedule=ours, warmup_steps=warmup, total_steps=total, min_lr_ratio=min_ratio, lr=0.02, rates=rates))
    return cases


def write(name, value):
    (HERE / name).write_text(json.dumps(value, separators=(",", ":")).replace('{"model":', '\n{"model":') + "\n")


if __name__ == "__main__":
    write("losses.json", make_losses())
    write("adamw.json", make_adamw())
    write("schedules.json", make_schedules())
