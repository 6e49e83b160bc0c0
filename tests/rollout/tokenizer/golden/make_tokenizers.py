"""Trains the four small tokenizers of this folder, each with the pre-tokenizer of a published model, and writes what
Hugging Face tokenizers makes of a few hundred texts.

    python make_tokenizers.py        (tokenizers 0.23)
"""

import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import texts

HERE = pathlib.Path(__file__).parent
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
CORPUS = [text for seed in range(40) for text in texts.texts(f"corpus {seed}", 50, [])] + [
    "It's what they're saying: we'll run, he'd walk, I've been, don't. THE HELLO'S WORLD'LL.",
    "Ein naïver Satz über die Straße, où l'été déjà fini, привет мир, 你好世界, こんにちは、안녕하세요.",
    "for (int i = 0; i < 1234567; ++i) {\n    total += values[i];\n}\n\n\treturn total;\r\n"] * 40


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def train(pre_tokenizer, vocab_size, all_bytes=True, normalizer=None, special=()):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet() if all_bytes else []
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, special_tokens=list(special), show_progress=False,
        limit_alphabet=256 if all_bytes else 200))
    return tokenizer


def make_gpt2():
    tokenizer = train(pre_tokenizers.ByteLevel(add_prefix_space=False), 600)
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.add_tokens([AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("<tail>", rstrip=True),
                          AddedToken("word", single_word=True, normalized=False), AddedToken("\n\n\n", normalized=True)])
    return tokenizer


def make_llama3():
    tokenizer = train(split(LLAMA3), 620)
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
                                  "<|eot_id|>"])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 620)])])
    return tokenizer


def make_qwen2():
    tokenizer = train(split(QWEN2), 600, normalizer=normalizers.NFC())
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("e\u0301te\u0301", normalized=True),
                          AddedToken("<A\u030a>", normalized=False)])
    return tokenizer


def make_smollm():
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                      pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return train(digits, 560, all_bytes=False,
                 special=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_start|>user", "<|im", "<repo_name>"])


def make_prefix():
    """Rarely seen options, all at once."""
    first = pre_tokenizers.Sequence([pre_tokenizers.Split("|", "removed"), pre_tokenizers.Split(Regex(r"[.,]"), "merged_with_previous"),
                                     pre_tokenizers.Split(Regex(r"[#$]"), "merged_with_next"),
                                     pre_tokenizers.Split(Regex(r"[-=]"), "contiguous"),
                                     pre_tokenizers.Split(Regex(r"[\p{Lu}\p{Ll}\w\S]+\d?"), "isolated", invert=True)])
    tokenizer = train(pre_tokenizers.Sequence([first, pre_tokenizers.Digits(individual_digits=False),
                                               pre_tokenizers.ByteLevel(add_prefix_space=True)]), 420, all_bytes=False)
    tokenizer.model.unk_token = "?"
    tokenizer.model.fuse_unk = True
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC()])
    return tokenizer


MAKERS = {"gpt2": make_gpt2, "llama3": make_llama3, "qwen2": make_qwen2, "smollm": make_smollm, "prefix": make_prefix}


def reshape(name, path):
    """What the library reads but would not write."""
    document = json.loads(path.read_text())
    if name == "gpt2":
        document["model"]["merges"] = [" ".join(merge) for merge in document["model"]["merges"]]
    if name == "llama3":
        document["model"]["ignore_merges"] = True
        # Reachable as whole pieces only.
        vocab = document["model"]["vocab"]
        dropped = document["model"]["merges"][-60:]
        document["model"]["merges"] = document["model"]["merges"][:-60]
        assert all(a + b in vocab for a, b in dropped)
    path.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")


def main():
    for name, make in MAKERS.items():
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        make().save(str(folder / "tokenizer.json"))
        reshape(name, folder / "tokenizer.json")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        cases = []
        for text in texts.texts(f"golden {name}", 400, added):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            cases.append({"text": text, "tokens": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
        (folder / "cases.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
