"""Makes the golden model files beside this script; run by hand with transformers 5, gguf, numpy and safetensors:

    python make_files.py

<name>.gguf      a tiny model written by the gguf package as llama.cpp's converter would: q and k rows of llama with
                 the rotary channels of a pair side by side, Llama 3 scaling as a tensor of divisors, a mix of types
<name>/          the same model as a Hugging Face folder, its weights dequantised by the gguf package
hf_configs.json  config.json files in both spellings, and what transformers makes of them
"""
import json
import math
import pathlib
import tempfile

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter, quants
from safetensors.numpy import save_file
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

HERE = pathlib.Path(__file__).parent
HIDDEN, INNER, HEADS, KV_HEADS, HEAD_DIM, VOCAB, LAYERS = 32, 64, 2, 1, 16, 20, 1
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def adjacent(rows, heads):
    """llama.cpp's permutation of q and k."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def halves(rows, heads):
    """Its inverse."""
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def llama3_divisors():
    frequencies = 1.0 / (500000.0 ** (torch.arange(0, HEAD_DIM, 2, dtype=torch.float32) / HEAD_DIM))
    context, divisors = LLAMA3["original_max_position_embeddings"], []
    for frequency in frequencies:
        wavelength = 2 * math.pi / frequency
        if wavelength < context / LLAMA3["high_freq_factor"]:
            divisors.append(1)
        elif wavelength > context / LLAMA3["low_freq_factor"]:
            divisors.append(LLAMA3["factor"])
        else:
            smooth = (context / wavelength - LLAMA3["low_freq_factor"]) / (
                LLAMA3["high_freq_factor"] - LLAMA3["low_freq_factor"])
            divisors.append(1 / ((1 - smooth) / LLAMA3["factor"] + smooth))
    return np.array(divisors, dtype=np.float32)


def make_model(name, architecture, types, untied, config):
    """types: GGUF tensor ending -> type; F32 where none."""
    generator = np.random.default_rng(len(name) + 5)
    qkv_bias, qk_norm = architecture == "qwen2", architecture == "qwen3"
    writer = GGUFWriter(HERE / f"{name}.gguf", architecture)
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(config["rope_theta"])
    if qk_norm:
        writer.add_key_length(HEAD_DIM)
        writer.add_value_length(HEAD_DIM)
    else:
        writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_uint8("test.uint8", 200)
    writer.add_int8("test.int8", -100)
    writer.add_uint16("test.uint16", 60000)
    writer.add_int16("test.int16", -30000)
    writer.add_uint32("test.uint32", 4000000000)
    writer.add_int32("test.int32", -2000000000)
    writer.add_uint64("test.uint64", 1 << 62)
    writer.add_int64("test.int64", -(1 << 62))
    writer.add_float32("test.float32", 0.1)
    writer.add_float64("test.float64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "gr\u00fc\u00df dich")
    writer.add_array("test.integers", [3, -1, 4])
    writer.add_array("test.floats", [0.5, -2.25])
    writer.add_array("test.strings", ["", "a", "\u0120the"])
    expected = {}

    def add(gguf_name, hf_name, shape, heads=0):
        values = generator.normal(0, 0.5, shape).astype(np.float32)
        type = next((type for ending, type in types.items() if gguf_name.endswith(ending)), Type.F32)
        if type == Type.F32:
            stored = back = values
            writer.add_tensor(gguf_name, stored)
        else:
            stored = quants.quantize(values, type)
            back = quants.dequantize(stored, type)
            writer.add_tensor(gguf_name, stored, raw_dtype=type)
        expected[hf_name] = np.ascontiguousarray(halves(back, heads) if heads else back)

    permuted = architecture == "llama"
    q, kv = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    add("token_embd.weight", "model.embed_tokens.weight", (VOCAB, HIDDEN))
    for i in range(LAYERS):
        ours, theirs = f"blk.{i}.", f"model.layers.{i}."
        attention = theirs + "self_attn."
        add(ours + "attn_norm.weight", theirs + "input_layernorm.weight", (HIDDEN,))
        add(ours + "attn_q.weight", attention + "q_proj.weight", (q, HIDDEN), HEADS if permuted else 0)
        add(ours + "attn_k.weight", attention + "k_proj.weight", (kv, HIDDEN), KV_HEADS if permuted else 0)
        add(ours + "attn_v.weight", attention + "v_proj.weight", (kv, HIDDEN))
        if qkv_bias:
            for letter, rows in (("q", q), ("k", kv), ("v", kv)):
                add(f"{ours}attn_{letter}.bias", f"{attention}{letter}_proj.bias", (rows,))
        if qk_norm:
            for letter in "qk":
                add(f"{ours}attn_{letter}_norm.weight", f"{attention}{letter}_norm.weight", (HEAD_DIM,))
        add(ours + "attn_output.weight", attention + "o_proj.weight", (HIDDEN, q))
        add(ours + "ffn_norm.weight", theirs + "post_attention_layernorm.weight", (HIDDEN,))
        add(ours + "ffn_gate.weight", theirs + "mlp.gate_proj.weight", (INNER, HIDDEN))
        add(ours + "ffn_up.weight", theirs + "mlp.up_proj.weight", (INNER, HIDDEN))
        add(ours + "ffn_down.weight", theirs + "mlp.down_proj.weight", (HIDDEN, INNER))
    add("output_norm.weight", "model.norm.weight", (HIDDEN,))
    if untied:
        add("output.weight", "lm_head.weight", (VOCAB, HIDDEN))
    if permuted:
        writer.add_tensor("rope_freqs.weight", llama3_divisors())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    folder = HERE / name
    folder.mkdir(exist_ok=True)
    save_file(expected, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "model_type": architecture, "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "vocab_size": VOCAB,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "tie_word_embeddings": not untied,
        "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2, **config}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


BASE = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": 99}
SCALING = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 64}
CONFIGS = {
    "llama defaults": {"model_type": "llama"},
    "llama, old spelling": {"model_type": "llama", "rope_theta": 500000.0, "rope_scaling": SCALING,
                            "torch_dtype": "bfloat16", "max_position_embeddings": 4096, "eos_token_id": [7, 9]},
    "llama, new spelling": {"model_type": "llama", "rope_parameters": {**SCALING, "rope_theta": 500000.0},
                            "dtype": "bfloat16", "num_key_value_heads": 2, "tie_word_embeddings": True},
    "llama, llama3 without its context": {
        "model_type": "llama", "max_position_embeddings": 96,
        "rope_scaling": {k: v for k, v in SCALING.items() if k != "original_max_position_embeddings"}},
    "llama, linear by the oldest key": {"model_type": "llama", "rope_theta": 20000.0,
                                        "rope_scaling": {"type": "linear", "factor": 2.5}},
    "llama, theta beside the parameters": {"model_type": "llama", "rope_theta": 30000.0,
                                           "rope_parameters": {"rope_type": "default"}},
    "llama, null fields": {"model_type": "llama", "head_dim": None, "num_key_value_heads": None,
                           "rope_scaling": None, "bos_token_id": None, "eos_token_id": None, "rms_norm_eps": 1e-5},
    "llama, own head_dim": {"model_type": "llama", "head_dim": 20},
    "mistral defaults": {"model_type": "mistral", "num_attention_heads": 8, "head_dim": 6},
    "mistral without window": {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": None},
    "mistral with window": {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 7},
    "qwen2": {"model_type": "qwen2", "num_key_value_heads": 2, "rope_theta": 1000000.0, "sliding_window": 32,
              "use_sliding_window": False, "max_window_layers": 2, "eos_token_id": 98},
    "qwen2, window from layer 0": {"model_type": "qwen2", "num_key_value_heads": 2, "use_sliding_window": True,
                                   "sliding_window": 9, "max_window_layers": 0},
    "qwen2, window never begins": {"model_type": "qwen2", "num_key_value_heads": 2, "use_sliding_window": True,
                                   "sliding_window": 9},
    "qwen3 defaults": {"model_type": "qwen3", "num_key_value_heads": 2},
    "qwen3, layer types": {"model_type": "qwen3", "num_key_value_heads": 4, "use_sliding_window": True,
                           "sliding_window": 5, "head_dim": 16, "layer_types": ["sliding_attention"] * 4},
}
GENERATION = {"llama, new spelling": {"eos_token_id": [3, 4]}, "qwen2": {"eos_token_id": 97},
              "mistral defaults": {"temperature": 0.7}}


def as_transformers_reads(name, config, generation):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "config.json").write_text(json.dumps(config))
        if generation is not None:
            (folder / "generation_config.json").write_text(json.dumps(generation))
        read = AutoConfig.from_pretrained(folder)
        model = AutoModelForCausalLM.from_config(read)
        model.save_pretrained(folder / "weights")
        if generation is not None:
            ending = GenerationConfig.from_pretrained(folder).eos_token_id
        else:
            ending = None
    if ending is None:
        ending = read.eos_token_id
    layers = model.model.layers
    types = getattr(read, "layer_types", None) or ["sliding_attention"] * read.num_hidden_layers
    window = getattr(read, "sliding_window", None) or 0
    return {
        "head_dim": layers[0].self_attn.head_dim,
        "num_kv_heads": layers[0].self_attn.k_proj.out_features // layers[0].self_attn.head_dim,
        "max_positions": read.max_position_embeddings,
        "rms_norm_eps": read.rms_norm_eps,
        "tied": bool(read.tie_word_embeddings),
        "frequencies": model.model.rotary_emb.inv_freq.tolist(),
        "windows": [window if type == "sliding_attention" else 0 for type in types],
        "eos_tokens": [] if ending is None else ending if isinstance(ending, list) else [ending],
        "bos_token": -1 if read.bos_token_id is None else read.bos_token_id,
    }


def main():
    make_model("llama_mixed", "llama",
               {"token_embd.weight": Type.Q8_0, "attn_q.weight": Type.Q4_0, "attn_k.weight": Type.Q4_1,
                "attn_v.weight": Type.F16, "attn_output.weight": Type.BF16, "ffn_gate.weight": Type.Q4_1,
                "ffn_up.weight": Type.Q4_0, "ffn_down.weight": Type.Q8_0},
               False, {"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", **LLAMA3}})
    make_model("qwen2_f16", "qwen2", {"attn_q.weight": Type.F16, "attn_k.weight": Type.F16, "output.weight": Type.Q8_0},
               True, {"rope_theta": 1000000.0})
    make_model("qwen3_q8", "qwen3", {"attn_q.weight": Type.Q8_0, "ffn_up.weight": Type.BF16}, False,
               {"rope_theta": 10000.0})
    cases = []
    for name, config in CONFIGS.items():
        config = {**BASE, **config}
        generation = GENERATION.get(name)
        cases.append({"name": name, "config": config, "generation": generation,
                      "expected": as_transformers_reads(name, config, generation)})
    (HERE / "hf_configs.json").write_text(json.dumps(cases, indent=1) + "\n")


main()
