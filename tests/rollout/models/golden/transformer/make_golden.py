"""Makes the golden models of transformer_golden_test.cpp: tiny random models of every family, with the log-probs,
entropies and gradients that transformers computes for them in fp32. Needs torch and transformers; run in this folder:

    python make_golden.py

<name>/            config.json and model.safetensors (bf16) as transformers saves them
<name>/expected.json   sequences, log-probs and entropies of their completions, weights of the log-probs (dlogp)
<name>/gradient/   the gradient of sum(dlogp * logprob), saved as if it were a model (fp32), so that its layout is the same
"""

import copy
import json
import pathlib
import shutil

import torch
from transformers import (AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config)

SIZES = dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=50, max_position_embeddings=64, bos_token_id=None, eos_token_id=0, pad_token_id=None)
MODELS = {
    # Of the four wavelengths (6.3, 19.9, 63, 199) one is kept, one blended, two are slowed.
    "llama3_rope": LlamaConfig(**SIZES, tie_word_embeddings=False, rms_norm_eps=1e-5, rope_parameters=dict(
        rope_type="llama3", rope_theta=100.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=32)),
    "llama_tied": LlamaConfig(**SIZES, tie_word_embeddings=True, rms_norm_eps=1e-6,
                              rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.0)),
    "mistral": MistralConfig(**SIZES, tie_word_embeddings=False, sliding_window=9,
                             rope_parameters=dict(rope_type="default", rope_theta=1000.0)),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True, use_sliding_window=False,
                         rope_parameters=dict(rope_type="default", rope_theta=1000.0)),
    "qwen3": Qwen3Config(**SIZES, tie_word_embeddings=False, head_dim=12, rms_norm_eps=1e-6,
                         rope_parameters=dict(rope_type="default", rope_theta=1000.0)),
}
# (tokens, of which prompt): none, one and many blocks of 16; a completion of one token.
LENGTHS = [(37, 5), (20, 19), (50, 10), (3, 1)]


def save(model, folder, dtype):
    model = copy.deepcopy(model).to(dtype)
    model.save_pretrained(folder)
    for extra in ("generation_config.json",):
        (folder / extra).unlink(missing_ok=True)


def make(name, config, seed):
    torch.manual_seed(seed)
    folder = pathlib.Path(name)
    shutil.rmtree(folder, ignore_errors=True)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "norm" in key:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0, 0.25)      # larger than usual, so that attention looks at something
            parameter.copy_(parameter.bfloat16().float())
    save(model, folder, torch.bfloat16)

    model.train()                               # no dropout in any of them
    total = 0
    sequences = []
    for length, prompt in LENGTHS:
        tokens = torch.randint(0, config.vocab_size, (length,))
        logits = model(tokens[None, :-1]).logits[0, prompt - 1:]
        logprobs = torch.log_softmax(logits, -1)
        entropies = -(logprobs.exp() * logprobs).sum(-1)
        chosen = logprobs.gather(-1, tokens[prompt:, None])[:, 0]
        dlogp = torch.randn(len(chosen))
        total = total + (chosen * dlogp).sum()
        sequences.append(dict(tokens=tokens.tolist(), prompt_length=prompt, logprobs=chosen.tolist(),
                              entropies=entropies.tolist(), dlogp=dlogp.tolist()))
    total.backward()
    gradient = copy.deepcopy(model)
    with torch.no_grad():
        for (_, target), (_, source) in zip(gradient.named_parameters(), model.named_parameters()):
            target.copy_(source.grad)
    save(gradient, folder / "gradient", torch.float32)
    (folder / "expected.json").write_text(json.dumps(dict(sequences=sequences)) + "\n")


for seed, (name, config) in enumerate(MODELS.items()):
    make(name, config, seed)
